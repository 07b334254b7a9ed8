// The controls above a grid of charts: search, x axis, smoothing, and in a workspace the panel of all that can be chosen.
import { searchMetrics } from "./api.js";
import { isMetric } from "./axes.js";
import { Panel } from "./panel.js";
import { slotColor, slotDash } from "./tokens.js";
import { sample } from "./legend.js";

const SEARCH_PAUSE_MS = 150;
const PATTERN_SIGNS = /[\\^$.|?*+()[\]{}]/;
const MOST_IN_KEY = 12;

export function followControls(grid) {
  return new Controls(grid);
}

class Controls {
  constructor(grid) {
    this.grid = grid;
    this.field = this.part("chart-filter");
    this.slider = this.part("chart-smoothing");
    this.key = this.part("chart-key");
    this.wanted = 0;
    this.field?.addEventListener("input", () => this.searchSoon());
    this.slider?.addEventListener("input", () => this.smooth(Number(this.slider.value)));
    for (const button of this.axisButtons()) button.addEventListener("click", () => grid.choose("axis", button.dataset.chartAxis));
    this.panel = grid.isWorkspace ? new Panel(grid, grid.element.querySelector("[data-chart-panel]")) : null;
    this.show();
  }

  part(name) {
    return this.grid.element.querySelector(`[data-${name}]`);
  }

  axisButtons() {
    return this.grid.element.querySelectorAll("[data-chart-axis]");
  }

  // Everything as the layout says.
  show() {
    this.showAxis();
    this.showSmoothing();
    this.panel?.show();
  }

  showAxis() {
    for (const button of this.axisButtons()) {
      const chosen = button.dataset.chartAxis === this.grid.axis;
      if (chosen) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
      button.setAttribute("aria-pressed", String(chosen));
    }
    this.showMetricAsX();
    this.panel?.show();
  }

  // A metric that is x stands beside the other choices while it is chosen.
  showMetricAsX() {
    const group = this.axisButtons()[0]?.parentElement;
    group?.querySelector("[data-metric-as-x]")?.remove();
    if (!group || !isMetric(this.grid.axis)) return;
    const name = this.grid.axis.slice("metric:".length);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chart-axis-metric";
    button.dataset.metricAsX = "";
    button.textContent = name;
    button.title = `x is the metric ${name}`;
    button.setAttribute("aria-pressed", "true");
    button.setAttribute("aria-current", "true");
    group.append(button);
  }

  showHidden() {
    this.panel?.showHidden();
  }

  // ---- smoothing

  smooth(strength) {
    const { kind } = this.grid.layout.get("smoothing");
    this.grid.choose("smoothing", { kind: kind === "none" ? "time" : kind, strength });
    this.showSmoothing();
    this.panel?.show();
  }

  showSmoothing() {
    if (!this.slider) return;
    const { kind, strength } = this.grid.layout.get("smoothing");
    const shown = kind === "none" ? 0 : strength;
    this.slider.value = shown;
    this.slider.style.setProperty("--filled", `${(shown / Number(this.slider.max)) * 100}%`);
    this.part("smoothing-number").value = shown.toFixed(2);
  }

  // ---- what colours stand for

  showColours() {
    if (!this.key) return;
    const values = this.grid.colours.shown();
    this.key.hidden = values.length === 0;
    const entries = values.slice(0, MOST_IN_KEY).map((value) => this.keyEntry(value));
    if (values.length > MOST_IN_KEY) {
      const rest = document.createElement("li");
      rest.textContent = `${values.length - MOST_IN_KEY} more`;
      entries.push(rest);
    }
    this.key.replaceChildren(...entries);
  }

  // A colour and what it stands for. Click hides its lines in all charts, double click shows them alone.
  keyEntry({ words, slot, runs, id }) {
    const lines = id === null ? runs : [id];
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Click hides, double click shows these lines alone";
    button.setAttribute("aria-pressed", String(!lines.every((line) => this.grid.hidden.has(line))));
    const text = document.createElement("span");
    text.textContent = id === null ? words.join(", ") : `${words.join(", ")} (${runs.length})`;
    button.append(sample(slotColor(slot), slotDash(slot)), text);
    button.addEventListener("click", ({ detail }) => (detail === 2 ? this.isolate(lines) : this.grid.hideLines(lines, !this.grid.hidden.has(lines[0]))));
    if (id !== null) {
      button.addEventListener("pointerenter", () => this.grid.highlight(id));
      button.addEventListener("pointerleave", () => this.grid.highlight(null));
    }
    const entry = document.createElement("li");
    entry.append(button);
    return entry;
  }

  isolate(lines) {
    const others = this.grid.colours.shown().flatMap(({ id, runs }) => (id === null ? runs : [id])).filter((line) => !lines.includes(line));
    const isAlone = others.every((line) => this.grid.hidden.has(line));
    this.grid.hidden.clear();
    this.grid.hideLines(others, !isAlone);
  }

  // ---- search

  searchSoon() {
    clearTimeout(this.searchTimer);
    const isPattern = PATTERN_SIGNS.test(this.field.value);
    if (isPattern) this.searchTimer = setTimeout(() => this.search(), SEARCH_PAUSE_MS);
    else this.search();
  }

  // Words are looked for here; a regular expression by the server, where none takes longer than another.
  async search() {
    const text = this.field?.value.trim() ?? "";
    this.wanted += 1;
    const number = this.wanted;
    this.asking?.abort();
    this.field?.removeAttribute("aria-invalid");
    if (!PATTERN_SIGNS.test(text)) return this.showMatches(byWords(text), text);
    this.asking = new AbortController();
    try {
      const found = await searchMetrics(this.grid.runIds(), text, this.asking.signal);
      if (number !== this.wanted) return;
      const words = byWords(text);
      this.showMatches((spec) => found.has(spec.metric) || (spec.expression === true && words(spec)), text);
    } catch (error) {
      if (number !== this.wanted || error.name === "AbortError") return;
      this.field.setAttribute("aria-invalid", "true");
      this.grid.showNone(error.message); // the last good result stays
    }
  }

  showMatches(matches, text) {
    for (const entry of this.grid.entries()) entry.isFiltered = !matches(entry.spec);
    for (const section of this.grid.sections) this.grid.arrangement.applyTo(section);
    const shown = this.grid.entries().some(({ element }) => !element.hidden);
    this.grid.showNone(!shown && text ? `No chart's name has \u201c${text}\u201d in it.` : "");
  }
}

function byWords(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return ({ metric, title }) => words.every((word) => `${metric} ${title}`.toLowerCase().includes(word));
}
