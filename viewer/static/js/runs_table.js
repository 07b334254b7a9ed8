// The list of runs beside its charts: the charts follow the drawn runs, the divider sets the table's width.
const WIDTH_KEY = "cloister.runs-table-width";
const NARROWEST = 420;

const split = document.getElementById("runs-split");
const divider = document.getElementById("divider");

function redrawCharts() {
  const table = document.getElementById("runs-table");
  const charts = document.getElementById("runs-charts");
  if (charts.dataset.drawn === table.dataset.drawn) return;
  charts.dataset.drawn = table.dataset.drawn;
  window.htmx.ajax("GET", table.dataset.chartsSrc, { target: "#runs-charts", swap: "innerHTML" });
}

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id === "runs-table" || event.target.closest?.("#runs-table")) redrawCharts();
});
document.addEventListener("cloister:refreshed", (event) => {
  if (event.target.id === "runs-table") redrawCharts();
});

// The divider: drag, arrow keys, double click for the width as designed.

function setWidth(pixels) {
  const width = Math.max(NARROWEST, Math.min(pixels, split.clientWidth - 8));
  split.style.setProperty("--table-width", `${Math.round(width)}px`);
  divider.setAttribute("aria-valuenow", String(Math.round(width)));
  remember(String(Math.round(width)));
}

function remember(width) {
  try {
    if (width === null) localStorage.removeItem(WIDTH_KEY);
    else localStorage.setItem(WIDTH_KEY, width);
  } catch {
    // storage switched off: the width holds for this page
  }
}

function resetWidth() {
  split.style.removeProperty("--table-width");
  remember(null);
}

function tableWidth() {
  return document.getElementById("runs-table").getBoundingClientRect().width;
}

divider.addEventListener("pointerdown", (event) => {
  divider.setPointerCapture(event.pointerId);
  const move = (moved) => setWidth(moved.clientX - split.getBoundingClientRect().left);
  divider.addEventListener("pointermove", move);
  divider.addEventListener("pointerup", () => divider.removeEventListener("pointermove", move), { once: true });
});
divider.addEventListener("dblclick", resetWidth);
divider.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") setWidth(tableWidth() - 24);
  else if (event.key === "ArrowRight") setWidth(tableWidth() + 24);
  else if (event.key === "Home") resetWidth();
});

try {
  const kept = Number(localStorage.getItem(WIDTH_KEY));
  if (kept) setWidth(kept);
} catch {
  // storage switched off
}
