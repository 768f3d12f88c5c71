// Venues and their connections: state, since when, why.

import { $, rows } from "./dom.js";
import { ago, count, moment, several, size, span } from "./format.js";

const REPAIRS = { repairing: "repairing", waiting: "repair tries again" };
const SHOWN_CONNECTIONS = 12;

const number = (text, wide = false) => ({ text, as: wide ? "n wide" : "n" });

function repairNote(venue) {
  const parts = [];
  const { repair, gaps } = venue;
  if (repair) {
    if (repair.state !== "idle") parts.push(REPAIRS[repair.state] ?? repair.state);
    if (repair.waiting) parts.push(several(repair.waiting, "gap waits", "gaps wait"));
    if (repair.repaired) parts.push(`${several(repair.repaired, "gap")} repaired with ${several(repair.rows, "row")}`);
    if (repair.lost) parts.push(`${several(repair.lost, "gap")} lost`);
    if (repair.trouble) parts.push(repair.trouble);
  }
  if (gaps && typeof gaps === "object") {
    const open = Object.entries(gaps).filter(([, many]) => many);
    if (open.length) parts.push(`open gaps: ${open.map(([cause, many]) => `${cause} ${count(many)}`).join(", ")}`);
  }
  return parts.join("; ");
}

function venueRow(venue, now) {
  const sum = (key) => venue.connections.reduce((total, one) => total + one[key], 0);
  const live = venue.connections.filter((one) => one.state === "live").length;
  const lives = `${live} of ${several(venue.connections.length, "connection")} live`;
  // The worker may run while what it runs does not.
  const tone = venue.state !== "running" || live === venue.connections.length ? undefined : live ? "warn" : "bad";
  const youngest = Math.min(...venue.connections.map((one) => one.last_frame_age_seconds ?? Infinity));
  return {
    key: venue.venue,
    cells: [
      { text: venue.venue, as: "name", head: true },
      { text: venue.state, pill: true, tone, note: [lives, venue.reason, repairNote(venue)].filter(Boolean).join(" · ") },
      { text: moment(venue.since, now), as: "wide quiet" },
      number(count(sum("frames")), true), number(size(sum("bytes")), true), number(count(sum("reconnects")), true),
      number(ago(Number.isFinite(youngest) ? youngest : null)),
    ],
  };
}

function connectionRow(venue, one, now) {
  return {
    key: `${venue.venue}\n${one.name}`,
    cells: [
      { text: one.name, as: "name inner", head: true },
      { text: one.state, pill: true, note: [`for ${span(one.state_seconds)}`, one.reason].filter(Boolean).join(": ") },
      { text: moment(one.since, now), as: "wide quiet" },
      number(count(one.frames), true), number(size(one.bytes), true), number(count(one.reconnects), true),
      number(ago(one.last_frame_age_seconds)),
    ],
  };
}

function problemRow(venue, problem) {
  return {
    key: `${venue.venue}\n\n${problem.symbol}`,
    cells: [
      { text: problem.symbol, as: "name inner", head: true }, { text: "refused", pill: true, note: problem.reason },
      { text: "", as: "wide" }, number("", true), number("", true), number("", true), number(""),
    ],
  };
}

// Of many connections those that do not work come first, and some that do.
function chosen(connections) {
  if (connections.length <= SHOWN_CONNECTIONS) return connections;
  const broken = connections.filter((one) => one.state !== "live");
  const working = connections.filter((one) => one.state === "live");
  return [...broken, ...working].slice(0, Math.max(SHOWN_CONNECTIONS, broken.length));
}

export function showVenues(status) {
  const all = status.venues.flatMap((venue) => [
    venueRow(venue, status.now),
    ...chosen(venue.connections).map((one) => connectionRow(venue, one, status.now)),
    ...venue.problems.map((one) => problemRow(venue, one)),
  ]);
  rows($("venues"), all, (row) => row.key, (row) => row.cells);
}
