// Follows /api/status and shows it. Everything that comes from there is written as text, never as markup.
"use strict";

const POLL_MS = 2000;
const ANSWER_MS = 5000;
const SHADES = {
  live: "ok", flowing: "ok", running: "ok", connected: "ok",
  acknowledged: "warn", requested: "warn", subscribing: "warn", connecting: "warn", discovering: "warn",
  starting: "warn", waiting: "warn",
  refused: "bad", failed: "bad", stopped: "bad", away: "bad",
};
const FLOWING = new Set(["flowing"]);

const $ = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const count = (value) => (value === null ? "not known" : whole.format(value));

function size(bytes) {
  if (bytes === null) return "not known";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

function span(seconds) {
  if (seconds === null) return "never";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

const ago = (seconds) => (seconds === null ? "never" : `${span(seconds)} ago`);
const delay = (seconds) => (seconds === null ? "–" : span(seconds));

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function paint(element, text, shade) {
  write(element, text);
  const wanted = `pill ${shade}`;
  if (element.className !== wanted) element.className = wanted;
}

// A table's rows are kept by key and only what differs is written, so that hundreds of them cost next to nothing.
function fill(body, rows) {
  const kept = body.rowsByKey ?? (body.rowsByKey = new Map());
  const wanted = new Set();
  let place = body.firstElementChild;
  for (const { key, cells, kind } of rows) {
    wanted.add(key);
    let row = kept.get(key);
    if (!row) {
      row = document.createElement("tr");
      for (const cell of cells) {
        const td = row.insertCell();
        if (cell.pill) td.append(document.createElement("span"));
        if (cell.as) td.className = cell.as;
      }
      if (kind) row.className = kind;
      kept.set(key, row);
    }
    if (row === place) place = place.nextElementSibling;
    else body.insertBefore(row, place);
    cells.forEach((cell, index) => {
      const td = row.cells[index];
      if (cell.pill) paint(td.firstElementChild, cell.text, SHADES[cell.text] ?? "idle");
      else write(td, cell.text);
    });
  }
  for (const [key, row] of kept) {
    if (!wanted.has(key)) { row.remove(); kept.delete(key); }
  }
}

const text = (value) => ({ text: value });
const wide = (value) => ({ text: value, as: "n wide" });
const number = (value) => ({ text: value, as: "n" });
const state = (value) => ({ text: value, pill: true });

// Terms and facts, made once and written again; `figures` puts each pair in a box, so that they wrap together.
function list(parent, pairs, boxed = false) {
  parent.pairs ??= pairs.map(() => {
    const pair = [document.createElement("dt"), document.createElement("dd")];
    const holder = boxed ? parent.appendChild(document.createElement("div")) : parent;
    holder.append(...pair);
    return pair;
  });
  pairs.forEach(([name, value, as = ""], index) => {
    const [term, fact] = parent.pairs[index];
    write(term, name);
    write(fact, value);
    fact.className = as;
  });
}

function verdict(health) {
  if (!health.healthy) return ["a part is dead", "bad"];
  if (!health.ready) return ["not recording", "bad"];
  if (health.warnings.length) return ["recording, with warnings", "warn"];
  return ["recording", "ok"];
}

function reasons(health) {
  const shown = [
    ...health.not_ready.map((one) => ["bad", one]),
    ...health.warnings.map((one) => ["warn", one]),
  ];
  const fresh = JSON.stringify(shown);
  if ($("reasons").dataset.shown === fresh) return;
  $("reasons").dataset.shown = fresh;
  $("reasons").replaceChildren(...shown.map(([shade, one]) => {
    const item = document.createElement("li");
    const part = document.createElement("b");
    part.textContent = one.part;
    item.className = shade;
    item.append(part, one.reason);
    return item;
  }));
}

function connections(venues) {
  return venues.flatMap((venue) => {
    const rows = venue.connections.map((one) => ({
      key: `${venue.venue}\n${one.name}`,
      cells: [
        text(venue.venue), text(one.name), state(one.state), number(span(one.state_seconds)), number(count(one.frames)),
        wide(size(one.bytes)), wide(count(one.reconnects)), number(ago(one.last_frame_age_seconds)),
        text(one.reason),
      ],
    }));
    const nothing = [number(""), number(""), wide(""), wide(""), number("")];
    const worker = {
      key: venue.venue,
      cells: [text(venue.venue), text("(worker)"), state(venue.state), ...nothing, text(venue.reason)],
    };
    const problems = venue.problems.map((one) => ({
      key: `${venue.venue}\n\n${one.symbol}`,
      cells: [text(venue.venue), text(one.symbol), state("refused"), ...nothing, text(one.reason)],
    }));
    return [worker, ...rows, ...problems];
  });
}

function counts(totals) {
  const row = (key, name, one, kind) => ({
    key, kind,
    cells: [text(name), ...[one.items, one.stored, one.duplicates, one.quarantined].map((n) => number(count(n)))],
  });
  return [
    ...Object.entries(totals.tables).map(([name, one]) => row(`table ${name}`, name, one)),
    row("total", "all", totals.total, "total"),
  ];
}

function streams(venues) {
  const wanted = $("find").value.trim().toLowerCase();
  const all = venues.flatMap((venue) => venue.connections.flatMap((connection) => connection.subscriptions.map(
    (one) => ({ ...one, venue: venue.venue, connection: connection.name }))));
  const flowing = all.filter((one) => FLOWING.has(one.state)).length;
  write($("tally"), `${flowing} of ${all.length} subscriptions flow`);
  return all
    .filter((one) => !$("troubled").checked || !FLOWING.has(one.state))
    .filter((one) => `${one.venue} ${one.symbol} ${one.stream} ${one.channel} ${one.state}`.toLowerCase().includes(wanted))
    .map((one) => ({
      key: `${one.connection}\n${one.channel}\n${one.symbol}`,
      cells: [
        text(one.venue), text(one.symbol), text(one.stream), { text: one.channel, as: "wide" }, state(one.state),
        number(ago(one.last_record_age_seconds)), text(one.reason),
      ],
    }));
}

let last = null;

function show(status) {
  const { health, rates, lag, journal, database, totals, process } = status;
  const [words, shade] = verdict(health);
  paint($("verdict"), words, shade);
  document.title = `${words} – collector`;
  write($("about"), `version ${status.version}, up ${span(status.uptime_seconds)}, process ${process.pid}`);
  reasons(health);

  const rate = (value) => (value === null ? "–" : `${whole.format(value)}/s`);
  list($("figures"), [
    ["rows stored", rate(rates.rows_per_second)],
    ["frames", rate(rates.frames_per_second)],
    ["received", rates.bytes_per_second === null ? "–" : `${size(rates.bytes_per_second)}/s`],
    ["lag, half under", delay(lag.recent_p50_seconds)],
    ["lag, 99 % under", delay(lag.recent_p99_seconds)],
    ["backlog", size(journal.backlog_bytes)],
    ["memory", size(process.rss_bytes)],
  ], true);
  fill($("connections"), connections(status.venues));
  fill($("counts"), counts(totals));
  paint($("sum"), totals.adds_up ? "adds up" : "does not add up", totals.adds_up ? "ok" : "bad");

  const fault = journal.fault !== null;
  paint($("journal-state"), fault ? "disk refuses" : journal.full ? "full" : "recording",
    fault || journal.full ? "bad" : "ok");
  const place = (one) => (one === null ? "not known" : `segment ${one.segment}, byte ${whole.format(one.offset)}`);
  list($("journal"), [
    ["end", place(journal.end)],
    ["safe on disk to", place(journal.durable)],
    ["in the tables to", place(journal.committed)],
    ["backlog", size(journal.backlog_bytes)],
    ["in memory", size(journal.buffered_bytes)],
    ["fault", journal.fault ?? "none"],
  ]);
  paint($("database-state"), database.state, SHADES[database.state] ?? "idle");
  list($("database"), [
    ["place", database.place],
    ["last commit", ago(database.last_commit_age_seconds)],
    ["reason", database.reason || "–"],
    ["connect", database.psql ?? "with psql, as configured", database.psql ? "paste" : ""],
  ]);
  fill($("streams"), streams(status.venues));
}

async function ask() {
  const answer = await fetch("/api/status", { signal: AbortSignal.timeout(ANSWER_MS) });
  if (!answer.ok) throw new Error(`the daemon answered ${answer.status}`);
  return answer.json();
}

let timer = 0;
let asking = false;

async function follow() {
  if (asking) return;
  clearTimeout(timer);
  asking = true;
  const status = await ask().catch(() => null);
  asking = false;
  if (!document.hidden) timer = setTimeout(follow, POLL_MS);
  document.body.classList.toggle("stale", status === null);
  if (status) {
    last = status;
    show(status);
  } else {
    document.title = "no answer – collector";
    paint($("verdict"), last ? `no answer, last seen ${last.now}` : "no answer", "bad");
  }
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) follow(); });
for (const id of ["find", "troubled"]) {
  $(id).addEventListener("input", () => last && fill($("streams"), streams(last.venues)));
}
follow();
