// Where what is received goes: the journal, the disk below it, the database; and what became of every item.

import { $, list, paint, rows } from "./dom.js";
import { ago, count, moment, share, several, size, span } from "./format.js";

const place = (one) => (one === null ? "not known" : `segment ${one.segment}, byte ${count(one.offset)}`);

// A part that the daemon could not look at is null; the reasons above say why.
export function showStorage({ journal, disk, database, now }) {
  if (journal) showJournal(journal, disk);
  else paint($("journal-state"), "not known", "idle");
  if (database) showDatabase(database, now);
  else paint($("database-state"), "not known", "idle");
}

function showJournal(journal, disk) {
  const fault = journal.fault !== null;
  paint($("journal-state"), fault ? "disk refuses" : journal.refusal !== null ? "disk full"
    : journal.full ? "full" : "recording",
    fault || journal.full ? "bad" : "ok");
  const free = disk?.free_bytes === null || !disk ? "not known"
    : `${size(disk.free_bytes)} of ${size(disk.size_bytes)} (${share(disk.free_bytes / disk.size_bytes)})`;
  const behind = journal.backlog_seconds ? `${size(journal.backlog_bytes)}, for ${span(journal.backlog_seconds)}`
    : size(journal.backlog_bytes);
  list($("journal"), [
    ["waiting", behind],
    ["in memory", size(journal.buffered_bytes)],
    ["disk free", free],
    ["on disk", size(journal.used_bytes)],
    ["fault", journal.fault ?? journal.refusal ?? "none"],
    ["end", place(journal.end)],
    ["safe on disk to", place(journal.durable)],
    ["in the tables to", place(journal.committed)],
  ]);
}

function showDatabase(database, now) {
  paint($("database-state"), database.state);
  list($("database"), [
    ["place", database.place],
    ["since", moment(database.since, now)],
    ...(database.reason ? [["reason", database.reason]] : []),
    ["last commit", ago(database.last_commit_age_seconds)],
    ["connect", database.psql ?? "with psql, as configured", database.psql ? "paste" : ""],
  ]);
}

const number = (text) => ({ text, as: "n" });

export function showCounts({ totals }) {
  if (!totals) {
    paint($("sum"), "not known", "idle");
    return;
  }
  const all = [...Object.entries(totals.tables), ["all", totals.total]];
  rows($("counts"), all, ([name]) => name, ([name, one]) => [
    { text: name, head: true, as: name === "all" ? "sum" : "" },
    ...[one.items, one.stored, one.duplicates, one.quarantined].map((value) => number(count(value))),
  ]);
  paint($("sum"), totals.adds_up ? "adds up" : "does not add up", totals.adds_up ? "ok" : "bad");
}

export function showQuarantine(day) {
  const { waiting, newest } = day.quarantine;
  const many = `${several(waiting, "waits", "wait")}${waiting >= 10000 ? " or more" : ""}`;
  paint($("quarantine-state"), day.state === "away" ? "database away" : many, waiting || day.state === "away" ? "warn" : "ok");
  $("quarantine-none").hidden = newest.length > 0;
  $("quarantine-table").hidden = newest.length === 0;
  rows($("quarantine"), newest, (one) => JSON.stringify(one), (one) => [
    { text: moment(one.received, day.to_time), as: "quiet" },
    { text: [one.venue, one.stream].filter(Boolean).join(" ") || "–", note: one.kind ?? "" },
    { text: one.error, as: "why" },
    number(count(one.items)),
  ]);
}

export function showAudit({ audit }) {
  $("audit-section").hidden = !audit;
  if (!audit) return;
  const open = audit.open_alarms ?? audit.unexplained;
  paint($("audit-state"), open ? `${count(open)} unexplained` : "nothing unexplained", open ? "bad" : "ok");
  list($("audit"), [
    ["checked to", audit.last_minute ? audit.last_minute.replace("T", " ").replace("Z", " UTC") : "not yet"],
    ["checked", count(audit.checked)],
    ["complete", count(audit.complete)],
    ["explained", count(audit.explained)],
    ["unexplained", count(audit.unexplained)],
    ["not comparable", count(audit.not_comparable)],
    ...(audit.trouble ? [["trouble", audit.trouble]] : []),
  ]);
  $("alarms-table").hidden = audit.alarms.length === 0;
  rows($("alarms"), audit.alarms, (one) => JSON.stringify(one), (one) => [
    { text: one.minute.replace("T", " ").replace("Z", ""), as: "quiet" },
    { text: `${one.venue} ${one.symbol}`, as: "why" },
    number(one.expected ?? "–"), number(one.stored ?? "–"), { text: one.state, pill: true },
  ]);
}
