// A stretch of x that somebody has chosen: lowest, highest and difference of each line in it.
import { duration, isMetric } from "./axes.js";
import { measure } from "./drawing.js";
import { formatCount, formatValue, formatValues } from "./numbers.js";

const MOST_ROWS = 50;

// Draws the stretch and its table anew, after the card was drawn or another stretch was chosen.
export function showMeasure(card) {
  closeMeasure(card);
  if (!card.measuring || card.measuring === "wanted" || !card.ready()) return;
  const { top, height, left, right } = card.frame();
  const [from, to] = [card.measuring.low, card.measuring.high].map((x) => Math.min(Math.max(card.pixelAt(x), left), right));
  const box = document.createElement("div");
  box.className = "chart-selection is-measuring";
  Object.assign(box.style, { left: `${from}px`, width: `${Math.max(to - from, 1)}px`, top: `${top}px`, height: `${height}px` });
  card.overlay.append(box);
  card.element.append(buildPanel(card));
}

export function closeMeasure(card) {
  card.overlay.querySelector(".is-measuring")?.remove();
  card.element.querySelector(".chart-measure")?.remove();
}

function buildPanel(card) {
  const { low, high } = card.measuring;
  const panel = document.createElement("div");
  panel.className = "chart-measure";
  panel.setAttribute("role", "status");
  const heading = document.createElement("div");
  heading.className = "chart-measure-title";
  const words = document.createElement("span");
  words.textContent = rangeWords(card.grid.axis, low, high);
  const close = document.createElement("button");
  close.type = "button";
  close.className = "button button-quiet";
  close.textContent = "Close";
  close.addEventListener("click", () => card.endMeasuring());
  const zoom = document.createElement("button");
  zoom.type = "button";
  zoom.className = "button button-quiet";
  zoom.textContent = "Zoom in";
  zoom.addEventListener("click", () => {
    card.endMeasuring();
    card.zoom(low, high);
  });
  heading.append(words, zoom, close);
  panel.append(heading, buildTable(card, [low, high]));
  return panel;
}

function buildTable(card, range) {
  const found = card.runs.map((run) => ({ run, of: measure(run, range) })).filter(({ of }) => of !== null);
  const table = document.createElement("table");
  table.className = "table";
  appendRow(table.createTHead(), ["Line", "Min", "Max", "Difference"], "th");
  const body = table.createTBody();
  const column = (key) => formatValues(found.map(({ of }) => of[key]));
  const [low, high] = [column("min"), column("max")];
  found.slice(0, MOST_ROWS).forEach(({ run, of }, i) => {
    const difference = `${of.delta > 0 ? "+" : ""}${formatValue(of.delta)}`;
    const row = appendRow(body, [run.curve.name, low[i], high[i], difference], "td");
    const dot = document.createElement("i");
    dot.style.background = run.color;
    row.cells[0].prepend(dot);
  });
  if (found.length === 0) appendRow(body, ["No values here", "", "", ""], "td");
  if (found.length > MOST_ROWS) appendRow(body, [`${found.length - MOST_ROWS} more`, "", "", ""], "td");
  return table;
}

function rangeWords(axis, low, high) {
  if (axis === "relative" || axis === "wall") return `${duration(high - low)} long`;
  if (isMetric(axis)) return `${formatValue(low)} to ${formatValue(high)}`;
  return `step ${formatCount(Math.ceil(low))} to ${formatCount(Math.floor(high))}`;
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
  return row;
}
