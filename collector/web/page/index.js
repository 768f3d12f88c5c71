// The status page: follows the daemon and shows what it tells.

import { $, paint } from "./dom.js";
import { follow, showLine } from "./live.js";
import { showFigures, showReasons, showVerdict } from "./overview.js";
import { showAudit, showCounts, showQuarantine, showStorage } from "./storage.js";
import { listen, showStreams } from "./streams.js";
import { showVenues } from "./venues.js";

let status = null;
let day = null;

function show() {
  if (!status) return;
  showVerdict(status);
  showReasons(status, day);
  showFigures(status, day);
  showVenues(status);
  showStreams(status, day);
  showStorage(status);
  showCounts(status);
  showAudit(status);
  if (day) showQuarantine(day);
}

listen();
follow({
  status(told) { status = told; show(); },
  day(told) { day = told; show(); },
  line(lost) {
    showLine($("line"), $("lost"), lost);
    if (lost === null || lost.why === "connecting") return;
    paint($("verdict"), "not known", "idle");
    document.title = "not connected – collector";
  },
});
