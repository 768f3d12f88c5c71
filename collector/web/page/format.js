// Numbers, sizes and spans as people read them, and texts of others as they are. Null is "not known", never zero.

const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu;

// A text with what cannot be seen written as its escape: a symbol must not turn the direction of what stands beside it.
export function plain(text) {
  return `${text}`.replace(UNSEEN, (sign) => {
    const number = sign.codePointAt(0);
    const digits = number.toString(16);
    if (number <= 0xff) return `\\x${digits.padStart(2, "0")}`;
    return number <= 0xffff ? `\\u${digits.padStart(4, "0")}` : `\\U${digits.padStart(8, "0")}`;
  });
}

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNKNOWN = "–";

export const count = (value) => (value === null || value === undefined ? UNKNOWN : whole.format(value));

export function size(bytes) {
  if (bytes === null || bytes === undefined) return UNKNOWN;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) { bytes /= 1000; unit += 1; }
  return `${unit && bytes < 100 ? bytes.toFixed(1) : Math.round(bytes)} ${units[unit]}`;
}

export function span(seconds) {
  if (seconds === null || seconds === undefined) return UNKNOWN;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

export const ago = (seconds) => (seconds === null || seconds === undefined ? "never" : `${span(seconds)} ago`);

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return UNKNOWN;
  if (perSecond >= 100) return `${whole.format(perSecond)}/s`;
  if (perSecond >= 10 || perSecond === 0) return `${perSecond.toFixed(0)}/s`;
  return perSecond >= 0.1 ? `${perSecond.toFixed(1)}/s` : `${(perSecond * 60).toFixed(1)}/min`;
}

// Cut and not rounded, so that only what is whole reads 100 %.
export function share(part) {
  if (part === null || part === undefined) return UNKNOWN;
  if (part >= 1) return "100 %";
  const digits = part >= 0.99 ? 2 : 1;
  return `${(Math.floor(part * 100 * 10 ** digits) / 10 ** digits).toFixed(digits)} %`;
}

export const several = (number, one, many = `${one}s`) => `${whole.format(number)} ${number === 1 ? one : many}`;

// A moment in UTC: the time of day, with the date where that is another one than now's.
export function moment(iso, now = new Date().toISOString()) {
  const [day, time] = iso.split("T");
  const clock = time.slice(0, 8);
  return day === now.slice(0, 10) ? `${clock} UTC` : `${day} ${clock} UTC`;
}
