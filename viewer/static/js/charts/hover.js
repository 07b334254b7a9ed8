// The hover card: values of all runs at one place on x. One element for the whole page, ours and not Bokeh's.
import { formatValue, formatValues } from "./numbers.js";

const MOST_ROWS = 10;
const AWAY = 14; // pixels between crosshair and card

let card = null;

// rows: [{name, color, value}], best first; `at`: {x, y} in the window; `plot`: the plot's rectangle in the window.
export function showHoverCard(host, { title, rows, nearest, unit, at, plot, pinned = false }) {
  card ??= build();
  if (card.parentElement !== host) host.append(card);
  fill(title, rows, nearest, unit);
  card.hidden = false;
  place(at, plot, pinned);
}

export function hideHoverCard() {
  if (card) card.hidden = true;
}

function build() {
  const element = document.createElement("div");
  element.className = "hover-card";
  element.setAttribute("role", "status");
  element.hidden = true;
  return element;
}

function fill(title, rows, nearest, unit) {
  const shown = rows.length > MOST_ROWS ? around(rows, nearest) : rows;
  const words = formatValues(shown.map((row) => row.value));
  const parts = [line("hover-card-title", title)];
  shown.forEach((row, i) => parts.push(rowElement(row, words[i], unit, row === nearest && rows.length > 1)));
  if (rows.length > shown.length) parts.push(line("hover-card-rest", `${rows.length - shown.length} more`));
  card.replaceChildren(...parts);
}

// The ten first, but always with the nearest among them.
function around(rows, nearest) {
  const first = rows.slice(0, MOST_ROWS);
  return nearest && !first.includes(nearest) ? [...first.slice(0, -1), nearest] : first;
}

function rowElement({ name, color, value, spread }, words, unit, isNearest) {
  const row = document.createElement("div");
  row.className = isNearest ? "hover-card-row is-nearest" : "hover-card-row";
  const dot = document.createElement("i");
  dot.style.background = color;
  const label = document.createElement("span");
  label.textContent = name;
  const number = document.createElement("b");
  number.textContent = unit && Number.isFinite(value) ? `${words} ${unit}` : words;
  row.append(dot, label, number);
  if (spread) {
    const range = document.createElement("small");
    range.textContent = `${formatValue(spread.low, 3)} \u2013 ${formatValue(spread.high, 3)}`;
    row.append(range);
  }
  return row;
}

function line(className, text) {
  const element = document.createElement("div");
  element.className = className;
  element.textContent = text;
  return element;
}

// Beside the pointer, never under it and never out of the window; a tapped card stands above the plot.
function place(at, plot, pinned) {
  const { width, height } = card.getBoundingClientRect();
  let left = at.x + AWAY;
  if (left + width > innerWidth - 8) left = at.x - AWAY - width;
  let top = at.y + AWAY;
  if (top + height > innerHeight - 8) top = at.y - AWAY - height;
  if (pinned) {
    left = Math.min(Math.max(at.x - width / 2, 8), innerWidth - width - 8);
    top = plot.top - height - 4;
  }
  card.style.transform = `translate(${Math.round(Math.max(left, 8))}px, ${Math.round(Math.max(top, 8))}px)`;
}
