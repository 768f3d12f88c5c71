// The page of one instrument: its streams as the daemon tells them, its candles, spread and book as the tables have them.

import { Candles, Depth, digitsOf, Spread } from "./charts.js";
import { $, fill, make, rows, write } from "./dom.js";
import { count, moment, plain, several, span } from "./format.js";
import { follow, showLine } from "./live.js";
import { daysOf, makeRow, streamsOf, writeRow } from "./streams.js";

const AGAIN_MS = 5000;
const LEVELS = 10;
const SPANS = [["15 min", 900], ["1 h", 3600], ["6 h", 21600]];

const asked = new URLSearchParams(location.search);
const [venue, symbol] = [asked.get("venue") ?? "", asked.get("symbol") ?? ""];
const view = { period: 0, seconds: 3600, instrument: null, status: null, day: null, busy: false };
const charts = {};

async function get(path, parameters = {}) {
  const query = new URLSearchParams({ venue, symbol, ...parameters });
  const answer = await fetch(`${path}?${query}`, { signal: AbortSignal.timeout(15000) });
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error ?? `the daemon answered ${answer.status}`);
  return told;
}

function choices(parent, options, chosen, choose) {
  fill(parent, options, ([, value]) => value, ([name, value]) => {
    const button = make("button", "", name);
    button.type = "button";
    button.addEventListener("click", () => { choose(value); load(); });
    return button;
  }, (button, [, value]) => button.setAttribute("aria-pressed", String(value === chosen)));
}

function periodName(period) {
  if (period === 2592000) return "1 mo";
  if (period === 7776000) return "3 mo";
  for (const [unit, length] of [["w", 604800], ["d", 86400], ["h", 3600], ["min", 60]]) {
    if (period % length === 0) return `${period / length} ${unit}`;
  }
  return span(period);
}

function showInstrument(told) {
  view.instrument = told;
  const pair = [told.base, told.quote].filter(Boolean).join("/");
  const steps = [told.price_step && `price step ${told.price_step}`, told.size_step && `size step ${told.size_step}`];
  write($("about"), [pair, told.kind, ...steps].filter(Boolean).join(" · "));
  if (!told.periods.includes(view.period)) view.period = told.periods[0] ?? 60;
  write($("gaps-about"), told.gaps.length ? several(told.gaps.length, "gap") : "none");
  $("gaps-table").hidden = told.gaps.length === 0;
  rows($("gaps"), told.gaps, (gap) => JSON.stringify(gap), (gap) => [
    moment(gap.from_time), gap.to_time ? moment(gap.to_time) : "lasts", gap.stream, { text: gap.state, pill: true },
    { text: gap.cause, note: gap.reason ?? "" },
    { text: gap.filled_rows === null ? "–" : count(gap.filled_rows), as: "n" },
  ]);
}

// A chart is made when there is something to show in it, and hidden as long as there is not.
function place(name, Kind, filled) {
  $(name).hidden = !filled;
  $(`${name}-none`).hidden = filled;
  if (filled) charts[name] ??= new Kind($(name));
  return filled;
}

function showCandles({ period, candles }) {
  choices($("periods"), view.instrument.periods.map((one) => [periodName(one), one]), period,
    (value) => { view.period = value; });
  write($("candles-about"), candles.length ? `${several(candles.length, "candle")} of ${periodName(period)}` : "");
  if (!place("candles", Candles, candles.length > 0)) return;
  const digits = digitsOf([view.instrument.price_step, ...candles.flatMap((row) => row.slice(1, 5))]);
  charts.candles.show(period, candles, view.instrument.gaps, digits);
  const [time, open, high, low, close] = candles.at(-1);
  $("candles").ariaLabel = `${candles.length} candles; the newest, of ${moment(time)}: open ${open}, high ${high}, low ${low}, close ${close}`;
}

function showSpread({ spread, bin_seconds: width, complete }) {
  choices($("spans"), SPANS, view.seconds, (value) => { view.seconds = value; });
  const newest = spread.at(-1);
  write($("spread-about"), newest ? `${newest[3]} now${complete ? "" : ", newest ticks only"}; thin line: widest of ${span(width)}` : "");
  if (!place("spread", Spread, spread.length > 0)) return;
  charts.spread.show(`${view.seconds}`, spread, digitsOf(spread.flatMap((row) => [row[3], row[4]])));
  $("spread").ariaLabel = `spread of ${spread.length} bins of ${span(width)}; now ${newest[3]} between ${newest[1]} and ${newest[2]}`;
}

function showBook({ time, whole, bids, asks }) {
  const filled = bids.length + asks.length > 0;
  write($("depth-about"), filled ? `at ${moment(time)}${whole ? "" : ", recently changed levels only"}` : "");
  const best = Array.from({ length: Math.min(LEVELS, Math.max(bids.length, asks.length)) }, (_, index) => index);
  rows($("book"), best, (index) => index, (index) => [
    { text: bids[index]?.[1] ?? "", as: "n" }, { text: bids[index]?.[0] ?? "", as: "n bid" },
    { text: asks[index]?.[0] ?? "", as: "n ask" }, { text: asks[index]?.[1] ?? "", as: "n" },
  ]);
  if (!place("depth", Depth, filled)) return;
  const levels = [...bids, ...asks];
  charts.depth.show(bids, asks, digitsOf(levels.map((one) => one[0])));
  $("depth").ariaLabel = `order book of ${bids.length} bids and ${asks.length} asks; best bid ${bids[0]?.[0] ?? "none"}, best ask ${asks[0]?.[0] ?? "none"}`;
}

async function load() {
  if (view.busy) return;
  view.busy = true;
  try {
    showInstrument(await get("/api/instrument"));
    const shown = [
      get("/api/instrument/candles", { period: view.period, limit: 300 }).then(showCandles),
      get("/api/instrument/spread", { seconds: view.seconds }).then(showSpread),
      get("/api/instrument/book").then(showBook),
    ];
    const failed = (await Promise.allSettled(shown)).find((one) => one.status === "rejected");
    if (failed) throw failed.reason;
    $("trouble").hidden = true;
  } catch (error) {
    write($("trouble"), error.message);
    $("trouble").hidden = false;
  } finally {
    view.busy = false;
  }
}

function showStreams() {
  const told = view.status?.venues.find((one) => one.venue === venue);
  if (!view.status) return;
  const days = daysOf(view.day);
  const mine = (told ? streamsOf(told, days) : []).filter((one) => one.symbol === symbol);
  $("streams-none").hidden = mine.length > 0;
  fill($("streams"), mine.sort((a, b) => a.stream.localeCompare(b.stream)), (one) => one.key,
    (one) => makeRow(one, false), writeRow);
}

write($("title"), symbol || "no symbol");
write($("venue"), venue);
document.title = plain(`${symbol} ${venue} – collector`);
follow({
  status(told) { view.status = told; showStreams(); },
  day(told) { view.day = told; showStreams(); },
  line(lost) { showLine($("line"), $("lost"), lost); },
});
load();
setInterval(() => { if (!document.hidden) load(); }, AGAIN_MS);
