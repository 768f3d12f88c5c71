// The verdict, what is not as it should be, and the figures that matter most.

import { $, fill, make, paint, write } from "./dom.js";
import { count, rate, size, span } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const POINTS = 60;

export function verdict(health) {
  if (!health.healthy) return ["a part is dead", "bad"];
  if (!health.ready) return ["not recording", "bad"];
  if (health.warnings.length) return ["recording, with warnings", "warn"];
  return ["recording", "ok"];
}

export function showVerdict(status) {
  const [words, tone] = verdict(status.health);
  paint($("verdict"), words, tone);
  document.title = `${words} – collector`;
  write($("about"), `version ${status.version}, up ${span(status.uptime_seconds)}`);
}

export function showReasons(status, day) {
  const { health, configuration } = status;
  const shown = [
    ...health.not_ready.map((one) => ["bad", "Fault", one.part, one.reason]),
    ...health.warnings.map((one) => ["warn", "Warning", one.part, one.reason]),
    ...(configuration?.refused ?? []).map((one) => ["warn", "Warning", "configuration", `the last reload was refused: ${one}`]),
    ...(configuration?.needs_restart ?? []).map((one) => ["warn", "Warning", "configuration", `needs a restart: ${one}`]),
  ];
  if (day?.state === "away" && status.database?.state === "connected") {
    shown.push(["warn", "Warning", "last 24 hours", day.reason]);
  }
  fill($("reasons"), shown, (one) => one.join("\n"), ([tone, kind, part, reason]) => make(
    "li", tone, make("strong", "", kind), make("span", "", make("b", "", part), ` ${reason}`)), () => {});
}

const figures = (status, day) => {
  const { rates, lag, journal, disk, process } = status;
  return [
    ["rows stored", rate(rates?.rows_per_second), rates?.rows_per_second],
    ["frames received", rate(rates?.frames_per_second), rates?.frames_per_second],
    ["half stored within", span(lag?.recent_p50_seconds), lag?.recent_p50_seconds],
    ["99 % stored within", span(lag?.recent_p99_seconds), lag?.recent_p99_seconds],
    ["in the journal", size(journal?.backlog_bytes), journal?.backlog_bytes],
    ["disk free", size(disk?.free_bytes)],
    ["memory", size(process?.rss_bytes)],
    ["in quarantine", day?.state === "known" ? count(day.quarantine.waiting) : "–"],
  ];
};

export function showFigures(status, day) {
  fill($("figures"), figures(status, day), ([name]) => name, ([name]) => {
    const box = make("div", "box");
    const chart = document.createElementNS(SVG, "svg");
    chart.setAttribute("viewBox", `0 0 ${POINTS - 1} 20`);
    chart.setAttribute("preserveAspectRatio", "none");
    chart.setAttribute("class", "spark");
    chart.setAttribute("aria-hidden", "true");
    chart.append(document.createElementNS(SVG, "polyline"));
    box.append(make("dt", "", name), make("dd"), chart);
    box.past = [];
    return box;
  }, (box, [, text, value]) => {
    write(box.children[1], text);
    if (value === undefined) return;
    if (status.now !== box.at) box.past.push(value ?? 0);
    box.at = status.now;
    if (box.past.length > POINTS) box.past.shift();
    const top = Math.max(...box.past) || 1;
    const step = (POINTS - 1) / Math.max(1, box.past.length - 1);
    box.children[2].firstChild.setAttribute(
      "points", box.past.map((one, index) => `${(index * step).toFixed(1)},${(19 - 18 * (one / top)).toFixed(1)}`).join(" "));
  });
}
