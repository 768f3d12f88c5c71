// The live line to the daemon: its newest state as it comes, and since when there has been none.

const SILENCE_MS = 15000;
const AGAIN_MS = 3000;

// `on` has `status` and `day`, called with what came, and `line`, called with { since, why } (null: connected).
export function follow(on) {
  let source = null;
  let heard = 0;
  let lost = { since: new Date(), why: "connecting" };
  let again = 0;

  function tell(state) {
    lost = state;
    on.line(lost);
  }

  function lose(why) {
    tell({ since: lost ? lost.since : new Date(), why });
  }

  function close() {
    clearTimeout(again);
    if (source) source.close();
    source = null;
  }

  function retry(why) {
    close();
    lose(why);
    again = setTimeout(open, AGAIN_MS);
  }

  function take(kind, event) {
    heard = Date.now();
    if (lost) tell(null);
    on[kind]?.(JSON.parse(event.data));
  }

  function open() {
    close();
    heard = Date.now();
    source = new EventSource("/api/events");
    source.addEventListener("status", (event) => take("status", event));
    source.addEventListener("day", (event) => take("day", event));
    source.addEventListener("end", (event) => retry(event.data));
    source.addEventListener("error", () => retry("the daemon does not answer"));
  }

  setInterval(() => {
    if (source && Date.now() - heard > SILENCE_MS) retry(`nothing was heard for ${SILENCE_MS / 1000} s`);
  }, 1000);
  // A page that nobody sees costs the daemon nothing.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) close();
    else open();
  });
  on.line(lost);
  if (!document.hidden) open();
}

// Shows the state of the line in the header; what is below it is old while there is none.
export function showLine(element, notice, lost) {
  const words = lost === null ? "live" : lost.why === "connecting" ? "connecting" : "not connected";
  element.className = `line ${lost === null ? "up" : "down"}`;
  element.textContent = words;
  const down = lost !== null && lost.why !== "connecting";
  notice.hidden = !down;
  document.body.classList.toggle("stale", down);
  if (down) {
    const since = `${lost.since.toISOString().slice(11, 19)} UTC`;
    notice.textContent = `Not connected since ${since}: ${lost.why}. What is below is as it was then; trying again.`;
  }
}
