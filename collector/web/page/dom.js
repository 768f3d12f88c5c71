// What touches the document. Everything that comes from the daemon is written as text, never as markup, and escaped.

import { plain } from "./format.js";

const SHADES = {
  live: "ok", flowing: "ok", running: "ok", connected: "ok", known: "ok", repaired: "ok", complete: "ok",
  acknowledged: "warn", requested: "warn", subscribing: "warn", connecting: "warn", discovering: "warn",
  starting: "warn", waiting: "warn", open: "warn",
  refused: "bad", failed: "bad", stopped: "bad", away: "bad", unrecoverable: "bad", stays: "bad",
};

export const $ = (id) => document.getElementById(id);
export const shade = (state) => SHADES[state] ?? "idle";

// Writes only what differs, so that hundreds of cells cost next to nothing when little has changed.
export function write(element, text) {
  const escaped = plain(text);
  if (element.textContent !== escaped) element.textContent = escaped;
}

export function dress(element, name) {
  if (element.className !== name) element.className = name;
}

export function paint(element, text, tone = shade(text)) {
  write(element, text);
  dress(element, text ? `pill ${tone}` : "pill");
}

export function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.append(...children.map((child) => (typeof child === "string" ? plain(child) : child)));
  return element;
}

// Keeps one element for each key below `parent`, in the order of `items`, and lets `update` write into it. Children that
// were there before stay where they are, in front.
export function fill(parent, items, keyOf, create, update) {
  const kept = parent.kept ?? (parent.kept = new Map());
  const wanted = new Set();
  const fixed = parent.fixed ?? (parent.fixed = parent.childElementCount);
  let place = parent.children[fixed] ?? null;
  for (const item of items) {
    const key = keyOf(item);
    wanted.add(key);
    let element = kept.get(key);
    if (!element) {
      element = create(item);
      kept.set(key, element);
    }
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
    update(element, item);
  }
  for (const [key, element] of kept) {
    if (!wanted.has(key)) { element.remove(); kept.delete(key); }
  }
}

// A row of cells; each is text, or { text, as, pill, tone, note }: a class, a state, its own shade, a second quiet line.
export function rows(body, items, keyOf, cellsOf) {
  fill(body, items, keyOf, (item) => {
    const row = document.createElement("tr");
    cellsOf(item).forEach((cell, index) => {
      const td = document.createElement(cell.head ? "th" : "td");
      if (cell.head) td.scope = "row";
      td.append(document.createElement("span"), make("small", "note"));
      td.className = cell.as ?? "";
      row.append(td);
    });
    return row;
  }, (row, item) => {
    cellsOf(item).forEach((cell, index) => {
      const { text = cell, note = "", pill = false, tone } = typeof cell === "string" ? {} : cell;
      const [value, line] = row.cells[index].children;
      if (pill) paint(value, text, tone);
      else write(value, text);
      write(line, note);
    });
  });
}

// Terms and facts, made once and written again; `boxed` puts each pair in a box, so that they wrap together.
export function list(parent, pairs, boxed = false) {
  fill(parent, pairs, ([name]) => name, ([name]) => {
    const holder = make("div", boxed ? "box" : "pair-of");
    holder.append(make("dt", "", name), make("dd"));
    return holder;
  }, (holder, [, value, as = ""]) => {
    const fact = holder.children[1];
    write(fact, value);
    dress(fact, as);
  });
}
