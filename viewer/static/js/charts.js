// Entry of every page with charts: mounts the grids that stand in it, now and after HTMX put new ones in.
import { ChartGrid } from "./charts/grid.js";
import { fillSparks } from "./charts/sparks.js";
import { followSystemStrips } from "./charts/strip.js";

function mountAll() {
  for (const element of document.querySelectorAll("[data-chart-grid]:not([data-mounted])")) {
    element.dataset.mounted = "";
    new ChartGrid(element).mount();
  }
  fillSparks();
}

document.addEventListener("htmx:afterSettle", mountAll);
followSystemStrips();
mountAll();
