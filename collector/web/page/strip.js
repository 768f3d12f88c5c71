// A day of a stream as a strip: each kind of time has a height of its own, so that it can be told without colours.

import { share, several } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const KINDS = {
  "-": { name: "before", y: 7, height: 1 },
  c: { name: "covered", y: 4, height: 4 },
  r: { name: "repaired", y: 2, height: 8 },
  m: { name: "missing", y: 0, height: 12 },
  l: { name: "lost", y: 0, height: 12 },
};

export function words(day) {
  if (!day) return "";
  return day.gaps ? `${share(day.covered_share)}, ${several(day.gaps, "gap")}` : share(day.covered_share);
}

export function makeStrip() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "strip");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  return svg;
}

export function drawStrip(svg, day) {
  const drawn = day ? day.strip : "";
  const label = day ? `last 24 hours: ${words(day)}` : "the last 24 hours are not known";
  if (svg.getAttribute("aria-label") !== label) svg.setAttribute("aria-label", label);
  if (svg.drawn === drawn) return;
  svg.drawn = drawn;
  svg.setAttribute("viewBox", `0 0 ${drawn.length || 96} 12`);
  const rects = [];
  for (let from = 0; from < drawn.length;) {
    let to = from + 1;
    while (to < drawn.length && drawn[to] === drawn[from]) to += 1;
    const kind = KINDS[drawn[from]] ?? KINDS["-"];
    const rect = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x: from, y: kind.y, width: to - from, height: kind.height })) {
      rect.setAttribute(name, value);
    }
    rect.setAttribute("class", kind.name);
    rects.push(rect);
    from = to;
  }
  svg.replaceChildren(...rects);
}
