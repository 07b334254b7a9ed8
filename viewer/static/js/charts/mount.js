// Charts for any page: turns the elements that templates/charts/macros.html has written, or that a script has put in, into charts.
import { ChartGrid } from "./grid.js";

// Every grid below `parent` that is none yet.
export function mountCharts(parent = document) {
  for (const element of parent.querySelectorAll("[data-chart-grid]:not([data-mounted])")) mountChart(element);
}

// One `[data-chart-grid]`; returns its ChartGrid: drawRuns([{run_id, slot}]), highlight(run_id), setAxis(axis).
export function mountChart(element) {
  if (element.chartGrid) return element.chartGrid;
  element.dataset.mounted = "";
  element.chartGrid = new ChartGrid(element);
  element.chartGrid.mount();
  return element.chartGrid;
}
