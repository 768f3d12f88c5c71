// Every stream of every instrument, by venue; what needs attention comes first.

import { $, dress, fill, make, paint, write } from "./dom.js";
import { ago, rate, several, share, span } from "./format.js";
import { drawStrip, makeStrip, words } from "./strip.js";

const SHOWN = 30;
const BADNESS = { refused: 0, waiting: 1, requested: 2, acknowledged: 3, flowing: 9 };
const OF_INSTRUMENTS = new Set(["trades", "ticks", "books", "candles", "derivatives"]);
const LACKS = /[ml]$/;

const keyOf = (one) => `${one.venue}\n${one.symbol}\n${one.stream}`;
const badness = (one) => (LACKS.test(one.day?.strip ?? "") ? Math.min(4, one.badness) : one.badness);
const last = (value) => value ?? Infinity;

const ORDERS = {
  attention: (a, b) => badness(a) - badness(b) || ORDERS.symbol(a, b),
  symbol: (a, b) => a.symbol.localeCompare(b.symbol) || a.stream.localeCompare(b.stream),
  stream: (a, b) => a.stream.localeCompare(b.stream) || ORDERS.symbol(a, b),
  rate: (a, b) => (b.rate ?? -1) - (a.rate ?? -1) || ORDERS.symbol(a, b),
  age: (a, b) => last(b.age) - last(a.age) || ORDERS.symbol(a, b),
  lag: (a, b) => (b.lag ?? -1) - (a.lag ?? -1) || ORDERS.symbol(a, b),
  covered: (a, b) => (a.day?.covered_share ?? 2) - (b.day?.covered_share ?? 2) || ORDERS.symbol(a, b),
};

// Several channels may bring one stream: the worst of them is its state.
export function streamsOf(venue, days) {
  const found = new Map();
  for (const one of venue.connections.flatMap((connection) => connection.subscriptions)) {
    const stream = { venue: venue.venue, symbol: one.symbol, stream: one.stream };
    const key = keyOf(stream);
    const known = found.get(key);
    const bad = BADNESS[one.state] ?? 5;
    const ages = [known?.age, one.last_record_age_seconds].filter((age) => age !== null && age !== undefined);
    const age = ages.length ? Math.min(...ages) : null;
    if (known && known.badness <= bad) { known.age = age; continue; }
    found.set(key, {
      ...stream, key, state: one.state, badness: bad, since: one.since, reason: one.reason, age,
      rate: one.records_per_second, lag: one.commit_lag_seconds, day: days.get(key),
    });
  }
  return [...found.values()];
}

export const daysOf = (day) => new Map((day?.streams ?? []).map((one) => [keyOf(one), one]));
export const addressOf = (one) => `/instrument?${new URLSearchParams({ venue: one.venue, symbol: one.symbol })}`;

export function makeRow(one, named = true) {
  const row = document.createElement("tr");
  const name = make("th", named ? "name" : "");
  name.scope = "row";
  if (named) {
    const link = make(OF_INSTRUMENTS.has(one.stream) ? "a" : "span", "", one.symbol);
    if (link.tagName === "A") link.href = addressOf(one);
    name.append(link, make("small", "note narrow", one.stream));
  } else {
    name.append(make("span", "", one.stream), make("small", "note"));
  }
  const coverage = make("td", "day", makeStrip(), make("small", "note"));
  row.append(name);
  if (named) row.append(make("td", "wide", one.stream));
  row.append(make("td", "state", make("span"), make("small", "note"), make("small", "note narrow")), make("td", "n wide"),
    make("td", "n wide"), make("td", "n wide"), coverage);
  return row;
}

export function writeRow(row, one) {
  const [state, pace, age, lag, coverage] = [...row.cells].slice(-5);
  paint(state.children[0], one.state);
  write(state.children[1], one.state === "flowing" ? "" : one.reason);
  write(state.children[2], ago(one.age));
  write(pace, rate(one.rate));
  write(age, one.age === null ? "never" : span(one.age));
  write(lag, span(one.lag));
  drawStrip(coverage.children[0], one.day);
  write(coverage.children[1], words(one.day));
}

// A phone shows three columns of the seven.
const phone = matchMedia("(max-width: 44rem)");
const columns = () => (phone.matches ? 3 : 7);

const view = { order: "attention", closed: new Set(), whole: new Set(), status: null, day: null };

function head(venue) {
  const button = make("button", "fold");
  button.type = "button";
  button.addEventListener("click", () => {
    if (!view.closed.delete(venue)) view.closed.add(venue);
    showStreams();
  });
  const cell = make("th", "", button, make("span", "quiet"));
  cell.scope = "rowgroup";
  const row = make("tr", "venue", cell);
  return row;
}

function rest(venue) {
  const button = make("button", "more");
  button.type = "button";
  button.addEventListener("click", () => { view.whole.add(venue); showStreams(); });
  const cell = make("td", "", button);
  return make("tr", "rest", cell);
}

function summary(all) {
  const flowing = all.filter((one) => one.state === "flowing").length;
  const known = all.filter((one) => one.day);
  const covered = known.reduce((sum, one) => sum + one.day.covered_share, 0) / known.length;
  const symbols = new Set(all.map((one) => one.symbol)).size;
  const parts = [several(symbols, "instrument"), `${flowing} of ${several(all.length, "stream")} flow`];
  if (known.length) parts.push(`${share(Math.floor(covered * 1e6) / 1e6)} of the last 24 h covered`);
  return parts.join(" · ");
}

function showVenue(body, { venue, all, shown }) {
  const open = !view.closed.has(venue);
  const cut = view.whole.has(venue) ? shown : shown.slice(0, SHOWN);
  const items = [{ key: "head" }, ...(open ? cut : []), ...(open && cut.length < shown.length ? [{ key: "rest" }] : [])];
  fill(body, items, (one) => one.key, (one) => (
    one.key === "head" ? head(venue) : one.key === "rest" ? rest(venue) : makeRow(one)
  ), (row, one) => {
    if (one.key === "head") {
      const [button, text] = row.cells[0].children;
      row.cells[0].colSpan = columns();
      write(button, venue);
      button.setAttribute("aria-expanded", String(open));
      write(text, summary(all));
    } else if (one.key === "rest") {
      row.cells[0].colSpan = columns();
      write(row.cells[0].firstChild, `Show the other ${shown.length - cut.length}`);
    } else {
      writeRow(row, one);
    }
  });
}

export function showStreams(status = view.status, day = view.day) {
  view.status = status;
  view.day = day;
  if (!status) return;
  const days = daysOf(day);
  const wanted = $("find").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const groups = status.venues.map((venue) => {
    const all = streamsOf(venue, days);
    const shown = all
      .filter((one) => !$("troubled").checked || badness(one) < BADNESS.flowing)
      .filter((one) => {
        const text = `${one.venue} ${one.symbol} ${one.stream} ${one.state}`.toLowerCase();
        return wanted.every((word) => text.includes(word));
      })
      .sort(ORDERS[view.order]);
    return { venue: venue.venue, all, shown };
  });
  const everything = groups.flatMap((one) => one.all);
  const flowing = everything.filter((one) => one.state === "flowing").length;
  write($("tally"), `${flowing} of ${everything.length} streams flow`);
  const shown = groups.filter((one) => one.shown.length);
  $("nothing").hidden = shown.length > 0;
  fill($("streams"), shown, (one) => one.venue, () => document.createElement("tbody"), showVenue);
}

export function listen() {
  phone.addEventListener("change", () => showStreams());
  for (const id of ["find", "troubled"]) $(id).addEventListener("input", () => showStreams());
  for (const button of document.querySelectorAll("button[data-order]")) {
    button.addEventListener("click", () => {
      view.order = view.order === button.dataset.order ? "attention" : button.dataset.order;
      for (const other of document.querySelectorAll("button[data-order]")) {
        const sorted = other.dataset.order === view.order;
        other.parentElement.ariaSort = sorted ? other.dataset.direction : null;
        dress(other, sorted ? "sort sorted" : "sort");
      }
      showStreams();
    });
  }
}
