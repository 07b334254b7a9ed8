// Entry of every page with charts: mounts the grids that stand in it, now and after HTMX put new ones in.
import { mountCharts } from "./charts/mount.js";
import { fillSparks } from "./charts/sparks.js";
import { followSystemStrips } from "./charts/strip.js";

function mountAll() {
  mountCharts();
  fillSparks();
}

document.addEventListener("htmx:afterSettle", mountAll);
followSystemStrips();
mountAll();
