// "View as table" and CSV: the numbers behind a chart.
import { xTitle } from "./axes.js";
import { formatValue } from "./numbers.js";

const MOST_ROWS = 200;

export function openTable(title, curves, axis) {
  const dialog = document.createElement("dialog");
  dialog.className = "chart-dialog";
  const heading = document.createElement("div");
  heading.className = "chart-header";
  heading.innerHTML = '<h2 class="chart-title"></h2><span class="chart-note"></span><span class="chart-tools"><button type="button" class="button">Close</button></span>';
  heading.querySelector("h2").textContent = title;
  const { table, note } = buildTable(curves, axis);
  heading.querySelector(".chart-note").textContent = note;
  heading.querySelector("button").addEventListener("click", () => dialog.close());
  const scroll = document.createElement("div");
  scroll.className = "chart-table-scroll";
  scroll.tabIndex = 0;
  scroll.append(table);
  dialog.append(heading, scroll);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

// A row per place on x, a column per run. Of more than 200 places, evenly chosen ones.
function buildTable(curves, axis) {
  const places = new Map();
  for (const curve of curves) {
    curve.x.forEach((x, i) => {
      if (!places.has(x)) places.set(x, { x, title: { x, step: curve.step[i], time: curve.time[i], start: curve.start }, values: new Map() });
      places.get(x).values.set(curve.run_id, curve.y[i]);
    });
  }
  const all = [...places.values()].sort((a, b) => a.x - b.x);
  const every = Math.max(all.length / MOST_ROWS, 1);
  const rows = all.length > MOST_ROWS ? Array.from({ length: MOST_ROWS }, (_, i) => all[Math.floor(i * every)]) : all;
  const table = document.createElement("table");
  table.className = "table";
  appendRow(table.createTHead(), ["x", ...curves.map((curve) => curve.name)], "th");
  const body = table.createTBody();
  for (const row of rows) {
    appendRow(body, [xTitle(axis, row.title), ...curves.map((curve) => (row.values.has(curve.run_id) ? formatValue(row.values.get(curve.run_id), 6) : "\u2013"))], "td");
  }
  return { table, note: rows.length < all.length ? `${rows.length} of ${all.length} places, evenly chosen; the CSV has every point` : `${all.length} rows` };
}

function appendRow(parent, words, cell) {
  const row = parent.insertRow();
  words.forEach((word, i) => {
    const element = document.createElement(cell);
    element.textContent = word;
    if (cell === "th") element.scope = "col";
    if (i > 0) element.className = "number";
    row.append(element);
  });
}
