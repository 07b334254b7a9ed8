// The list of runs beside its charts: the charts follow the drawn runs, the divider sets the table's width. What is done
// with columns, queries, rows and views stands in runs/.
import { root, runKey } from "./addresses.js";
import { fillSparks } from "./charts/sparks.js";
import "./runs/columns.js";
import "./runs/columns_dialog.js";
import "./runs/editing.js";
import { syncQuery } from "./runs/query.js";
import { sync as syncSelection } from "./runs/selection.js";
import { addressWith, goTo } from "./runs/state.js";
import { syncViewName } from "./runs/views.js";

const WIDTH_KEY = "cloister.runs-table-width";
const NARROWEST = 420;

const SPARK_MS = 5000; // a running run's spark line is drawn again at most this often

const split = document.getElementById("runs-split");
const divider = document.getElementById("divider");

function redrawCharts() {
  const table = document.getElementById("runs-table");
  const drawn = drawnRuns(table.dataset.drawn);
  const compare = document.getElementById("compare-drawn");
  compare.href = `${root}/compare?runs=${drawn.map(({ run_id }) => encodeURIComponent(run_id)).join(",")}`;
  if (drawn.length < 2) compare.setAttribute("aria-disabled", "true");
  else compare.removeAttribute("aria-disabled");
  compare.querySelector("[data-drawn-count]").textContent = String(drawn.length);
  const charts = document.getElementById("runs-charts");
  if (!charts || charts.dataset.drawn === table.dataset.drawn) return;
  charts.dataset.drawn = table.dataset.drawn;
  document.dispatchEvent(new CustomEvent("cloister:drawn-runs", { detail: drawn }));
}

// "12,,14": run 12 in the first place, 14 in the third; the places are the colours.
function drawnRuns(text) {
  if (text === "none") return [];
  const places = text.split(",").map((word, index) => ({ run_id: runKey(word), slot: index + 1, free: word === "" }));
  return places.filter((place) => !place.free).map(({ run_id, slot }) => ({ run_id, slot }));
}

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "runs-table" && !event.target.closest?.("#runs-table")) return;
  redrawCharts();
  syncQuery();
  syncViewName();
  syncSelection();
  fillSparks();
});
document.addEventListener("cloister:refreshed", (event) => {
  if (event.target.id !== "runs-table") return;
  redrawCharts();
  syncSelection();
  fillSparks();
});

const sparksDrawn = new Map();
document.addEventListener("cloister:run-changed", ({ detail }) => {
  const spark = document.querySelector(`[data-spark-run="${CSS.escape(detail.run_id)}"]`);
  if (!spark || Date.now() - (sparksDrawn.get(detail.run_id) ?? 0) < SPARK_MS) return;
  sparksDrawn.set(detail.run_id, Date.now());
  delete spark.dataset.filled;
  fillSparks();
});

// The run under the pointer stands out in the charts.
let highlighted = null;
document.addEventListener("pointerover", (event) => {
  const row = event.target instanceof Element ? event.target.closest("[data-run-row].is-drawn") : null;
  const runId = row ? runKey(row.dataset.runRow) : null;
  if (runId === highlighted) return;
  highlighted = runId;
  document.dispatchEvent(new CustomEvent("cloister:highlight-run", { detail: { run_id: runId } }));
});

// Table, split or charts: in the address, so that a link shows the same.

document.querySelector(".view-switch")?.addEventListener("click", (event) => {
  const button = event.target.closest("[data-view-switch]");
  if (!button) return;
  const view = button.dataset.viewSwitch;
  split.dataset.view = view;
  for (const each of document.querySelectorAll("[data-view-switch]")) each.setAttribute("aria-pressed", String(each === button));
  goTo(addressWith({ view: view === "split" ? null : view }), { replace: true });
});

// The divider: drag, arrow keys, double click for the width as designed.

function setWidth(pixels) {
  const width = Math.max(NARROWEST, Math.min(pixels, split.clientWidth - 8));
  split.style.setProperty("--table-width", `${Math.round(width)}px`);
  divider.setAttribute("aria-valuenow", String(Math.round(width)));
  keep(WIDTH_KEY, String(Math.round(width)));
}

function keep(key, value) {
  try {
    if (value === null) localStorage.removeItem(key);
    else localStorage.setItem(key, value);
  } catch {
    // storage switched off: the choice holds for this page
  }
}

function resetWidth() {
  split.style.removeProperty("--table-width");
  keep(WIDTH_KEY, null);
}

function tableWidth() {
  return document.getElementById("runs-table").getBoundingClientRect().width;
}

divider?.addEventListener("pointerdown", (event) => {
  divider.setPointerCapture(event.pointerId);
  const move = (moved) => setWidth(moved.clientX - split.getBoundingClientRect().left);
  divider.addEventListener("pointermove", move);
  divider.addEventListener("pointerup", () => divider.removeEventListener("pointermove", move), { once: true });
});
divider?.addEventListener("dblclick", resetWidth);
divider?.addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") setWidth(tableWidth() - 24);
  else if (event.key === "ArrowRight") setWidth(tableWidth() + 24);
  else if (event.key === "Home") resetWidth();
});

try {
  const kept = Number(localStorage.getItem(WIDTH_KEY));
  if (kept && divider) setWidth(kept);
} catch {
  // storage switched off
}
