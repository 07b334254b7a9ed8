// Entry of every page with charts: mounts the grids that stand in it, now and after HTMX put new ones in.
import { ChartGrid } from "./charts/grid.js";
import { fillSparks } from "./charts/sparks.js";
import { followSystemStrips } from "./charts/strip.js";

const grids = new Map(); // element -> ChartGrid

function mountAll() {
  for (const element of grids.keys()) if (!element.isConnected) grids.delete(element);
  for (const element of document.querySelectorAll("[data-chart-grid]:not([data-mounted])")) {
    element.dataset.mounted = "";
    const grid = new ChartGrid(element);
    grids.set(element, grid);
    grid.mount();
  }
  fillSparks();
}

// HTMX brings the same grid with other runs when an eye is opened or shut: the charts that stand take the runs over,
// instead of being built anew.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, serverResponse } = event.detail;
  const standing = target?.querySelector?.("[data-chart-grid][data-mounted]");
  if (!standing || !event.detail.shouldSwap) return;
  const fresh = new DOMParser().parseFromString(serverResponse, "text/html").querySelector("[data-chart-grid]");
  if (!fresh || fresh.dataset.chartGrid !== standing.dataset.chartGrid || !grids.has(standing)) return;
  event.detail.shouldSwap = false;
  grids.get(standing).drawRuns(JSON.parse(fresh.dataset.runs));
});

document.addEventListener("htmx:afterSettle", mountAll);
document.addEventListener("cloister:refreshed", fillSparks);
followSystemStrips();
mountAll();
