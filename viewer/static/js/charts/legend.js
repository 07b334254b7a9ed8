// The legend under a plot, where no table of runs stands beside it: click hides, double click isolates, hover highlights.

const MOST_ENTRIES = 8;

export function fillLegend(card) {
  const list = card.part("legend");
  const wanted = card.curves.length > 1 && (card.fullSize || card.grid.legend);
  list.hidden = !wanted;
  if (!wanted) return;
  const shown = list.dataset.all ? card.curves : card.curves.slice(0, MOST_ENTRIES);
  const entries = shown.map((curve) => buildEntry(card, curve));
  const rest = card.curves.length - shown.length;
  if (rest > 0) entries.push(buildMore(card, list, rest));
  list.replaceChildren(...entries);
}

function buildEntry(card, curve) {
  const { color, dash } = card.grid.colours.of(curve);
  const button = document.createElement("button");
  button.type = "button";
  button.title = "Click hides, double click shows this line alone";
  button.setAttribute("aria-pressed", String(!card.hidden.has(curve.run_id)));
  button.append(sample(color, dash), text(curve.group ? `${curve.name} (${curve.runs.length})` : curve.name));
  button.addEventListener("click", (event) => {
    if (event.detail === 2) isolate(card, curve.run_id);
    else if (!card.hidden.delete(curve.run_id)) card.hidden.add(curve.run_id);
    card.draw();
  });
  button.addEventListener("pointerenter", () => card.grid.highlight(curve.run_id));
  button.addEventListener("pointerleave", () => card.grid.highlight(null));
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

function isolate(card, runId) {
  const alone = card.curves.every((curve) => card.hidden.has(curve.run_id) === (curve.run_id !== runId));
  card.hidden = new Set(alone ? [] : card.curves.map((curve) => curve.run_id).filter((id) => id !== runId));
}

function buildMore(card, list, rest) {
  const button = document.createElement("button");
  button.type = "button";
  button.append(text(`${rest} more`));
  button.addEventListener("click", () => {
    list.dataset.all = "1";
    fillLegend(card);
  });
  const entry = document.createElement("li");
  entry.append(button);
  return entry;
}

export function sample(color, dash) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("width", "18");
  svg.setAttribute("height", "8");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M0 4H18");
  line.setAttribute("stroke", color);
  line.setAttribute("stroke-width", "2");
  line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

function text(words) {
  const span = document.createElement("span");
  span.textContent = words;
  return span;
}
