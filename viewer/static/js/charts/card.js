// A chart card: loads the curves of one metric, draws them, says what it shows.
import { fetchCurves } from "./api.js";
import { chooseXScale, LINEAR, xAxis, xTitle } from "./axes.js";
import { compose, nearestIndex, prepare } from "./drawing.js";
import { hideHoverCard, showHoverCard } from "./hover.js";
import { fillLegend } from "./legend.js";
import { formatValue, formatValues } from "./numbers.js";
import { createPlot } from "./plot.js";
import { followPointer } from "./pointer.js";
import { closeMeasure, showMeasure } from "./measuring.js";
import { openFullSize, openMoreMenu, openSettingsMenu } from "./card_menus.js";

const LIVE_PAUSE_MS = 1000; // a chart is refetched at most once in this time
const ZOOM_PAUSE_MS = 120;
const WEBGL_FROM_POINTS = 20000;
const SKELETON_AFTER_MS = 150;
const MOST_DOTS = 36;
const MOST_READ_OUT = 3;

export class ChartCard {
  constructor(element, section, { fullSize = false } = {}) {
    this.element = element;
    this.section = section;
    this.grid = section.grid;
    this.spec = JSON.parse(element.dataset.chart);
    this.fullSize = fullSize;
    this.curves = [];
    this.runs = []; // what is drawn: see drawing.prepare
    this.hidden = new Set();
    this.plot = null;
    this.backend = "canvas";
    this.inView = false;
    this.stale = true;
    this.loadNumber = 0;
    this.loadedAt = -Infinity;
    this.timer = 0;
    this.refused = [];
    this.xScale = LINEAR;
    this.measuring = null; // null, "wanted" for the next drag, or {low, high}
    this.plotElement = this.part("plot");
    this.canvas = this.part("canvas");
    this.overlay = this.part("overlay");
    followPointer(this.plotElement, this);
    element.addEventListener("click", (event) => this.act(event));
    this.resizing = new ResizeObserver(() => this.resized());
    this.resizing.observe(this.plotElement);
  }

  part(name) {
    return this.element.querySelector(`[data-chart-${name}]`);
  }

  get metric() {
    return this.spec.metric;
  }

  get layout() {
    return this.grid.layout;
  }

  // What a person has chosen for this chart alone.
  get choices() {
    return this.layout.entry("charts", "metric", this.metric);
  }

  // ---- loading

  setInView(inView) {
    this.inView = inView;
    if (inView && this.stale) this.refresh();
  }

  // Something changed on the server: fetch now, soon, or when the card comes into view.
  touch() {
    this.stale = true;
    if (this.inView && !document.hidden) this.refreshIn(Math.max(this.loadedAt + LIVE_PAUSE_MS - performance.now(), 0));
  }

  refreshIn(milliseconds) {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.refresh();
    }, milliseconds);
  }

  refreshAfterZoom() {
    this.stale = true;
    clearTimeout(this.timer);
    this.timer = 0;
    if (this.inView) this.refreshIn(ZOOM_PAUSE_MS);
  }

  async refresh() {
    clearTimeout(this.timer);
    this.timer = 0;
    const runs = this.grid.runIds();
    this.stale = false;
    this.loadNumber += 1;
    const number = this.loadNumber;
    if (runs.length === 0) return; // the grid says so
    const [from, to] = this.section.zoom ?? [null, null];
    const pixels = Math.max(Math.round((this.plotElement.clientWidth - 56) / 20) * 20, 100);
    const skeleton = setTimeout(() => !this.plot && this.show("loading"), SKELETON_AFTER_MS);
    try {
      const { curves, refused } = await fetchCurves(this.spec, { runs, pixels, from, to, ...this.grid.query() });
      if (number !== this.loadNumber) return; // a newer wish is on its way
      this.refused = refused;
      this.loadedAt = performance.now();
      this.pixels = pixels;
      this.take(curves, from === null);
      await this.ensurePlot();
      this.draw();
    } catch (error) {
      if (number === this.loadNumber) this.fail(error);
    } finally {
      clearTimeout(skeleton);
    }
  }

  take(curves, whole) {
    const order = new Map(this.grid.runIds().map((id, i) => [id, i]));
    const place = (curve) => order.get(curve.run_id) ?? 0; // groups come in their order
    this.curves = curves.sort((a, b) => place(a) - place(b));
    if (!whole) return;
    const filled = curves.filter((curve) => curve.x.length > 0);
    this.extent = filled.length === 0 ? null : [Math.min(...filled.map((curve) => curve.x[0])), Math.max(...filled.map((curve) => curve.x[curve.x.length - 1]))];
    this.section.extentChanged(this);
  }

  ensurePlot() {
    // One after the other: two refreshes that overlap would each put a plot into the card.
    this.creating = (this.creating ?? Promise.resolve()).catch(() => {}).then(() => this.makePlot());
    return this.creating;
  }

  async makePlot() {
    const points = this.curves.reduce((sum, curve) => sum + curve.x.length * (this.smoothing().strength > 0 ? 2 : 1), 0);
    const backend = points > WEBGL_FROM_POINTS ? "webgl" : "canvas";
    if (this.plot && (this.backend === backend || backend === "canvas")) return;
    if (this.curves.length === 0) return;
    this.plot?.destroy();
    this.backend = backend;
    this.plot = await createPlot(this.canvas, { scriptUrls: this.grid.scriptUrls, backend });
  }

  fail(error) {
    const retry = document.createElement("button");
    retry.type = "button";
    retry.className = "button";
    retry.textContent = "Retry";
    retry.addEventListener("click", () => this.refresh());
    this.show("error", error.message, retry);
  }

  // ---- drawing

  smoothing() {
    return this.choices.smooth === false ? { kind: "none", strength: 0 } : this.grid.smoothing;
  }

  ignoresOutliers() {
    return this.choices.ignore_outliers ?? this.layout.get("ignore_outliers");
  }

  scaleName() {
    return this.choices.scale ?? (this.spec.scale === "log" ? "auto-log" : "linear");
  }

  draw() {
    if (!this.plot) {
      if (this.curves.length === 0 && this.loadedAt > 0) this.showNoData();
      return;
    }
    if (!this.curves.some((curve) => curve.x.length > 0)) return this.showNoData();
    if (this.curves.every((curve) => curve.x.length === 0 || curve.not_numbers >= curve.last?.count)) return this.showNoNumbers();
    const range = this.range();
    this.drawnRange = range;
    const [low, high] = this.extent ?? range;
    this.xScale = chooseXScale(this.layout.get("x_scale"), this.grid.axis, this.extent ?? range);
    this.runs = prepare(this.curves, {
      colours: this.grid.colours,
      hidden: this.grid.hidden.size > 0 ? new Set([...this.hidden, ...this.grid.hidden]) : this.hidden,
      spec: this.spec,
      smoothing: this.smoothing(),
      span: high - low,
      band: this.layout.get("band"),
    });
    const drawing = compose(this.runs, {
      spec: this.spec,
      scaleName: this.scaleName(),
      ignoreOutliers: this.ignoresOutliers(),
      range,
      height: this.plotElement.clientHeight,
      highlighted: this.grid.highlighted,
      xScale: this.xScale,
    });
    this.put(drawing, range);
    this.show("drawn");
    this.describe();
    fillLegend(this);
    showMeasure(this);
  }

  // What was composed, into the plot.
  put(drawing, range) {
    this.scale = drawing.scale;
    this.yRange = [drawing.y.start, drawing.y.end];
    const narrow = this.plotElement.clientWidth < 400;
    const wanted = narrow && innerWidth <= 640 ? 3 : this.fullSize ? 8 : 5;
    this.plot.setBands(drawing.bands);
    this.plot.setLines("raw", drawing.raw);
    this.plot.setLines("lines", drawing.lines);
    this.plot.setEnds(drawing.ends);
    this.plot.setGaps(drawing.gaps);
    this.plot.setY(drawing.y);
    const [start, end] = this.drawnEnds(range);
    this.plot.setX({ start, end, ...xAxis(range[0], range[1], this.grid.axis, wanted, this.xScale) });
  }

  // Where the ends of a range are drawn. A logarithm begins at the first point, not at the nothing before it.
  drawnEnds([low, high]) {
    const from = this.xScale.name === "log" && !(low > 0) ? this.extent[0] : low;
    return [this.xScale.to(from), this.xScale.to(high)];
  }

  redrawIfRangeChanged() {
    const [low, high] = this.range();
    if (low !== this.drawnRange?.[0] || high !== this.drawnRange?.[1]) this.draw();
  }

  restyle() {
    if (!this.plot) return;
    this.plot.restyle();
    this.draw();
  }

  range() {
    return this.section.zoom ?? this.section.fullRange(this) ?? [0, 1];
  }

  ready() {
    return this.plot !== null && this.element.dataset.state === "drawn";
  }

  frame() {
    return this.plot.frame;
  }

  xAt(pixel) {
    const { left, width } = this.plot.frame;
    const [low, high] = this.drawnEnds(this.range());
    return this.xScale.from(low + ((pixel - left) / width) * (high - low));
  }

  resized() {
    if (!this.ready()) return;
    this.draw();
    const pixels = this.plotElement.clientWidth - 56;
    if (Math.abs(pixels - this.pixels) > this.pixels * 0.2) this.touch();
  }

  // ---- words

  show(state, words = "", action = null) {
    this.element.dataset.state = state;
    const place = this.part("state");
    place.hidden = words === "";
    place.textContent = words;
    if (action) place.append(action);
    if (state !== "drawn") this.clearOverlay();
  }

  showNoData() {
    const count = this.grid.runIds().length;
    if (this.refused.length > 0) return this.show("empty", this.refused[0].detail);
    this.show("empty", this.section.zoom ? "No points in this range." : `No points for ${count === 1 ? "this run" : `these ${count} runs`}`);
    this.part("note").textContent = this.spec.unit;
  }

  // Sacred takes any value for a metric.
  showNoNumbers() {
    const count = this.curves.reduce((sum, curve) => sum + curve.not_numbers, 0);
    this.show("empty", count === 1 ? "Its only value is no number" : `None of the ${count} values is a number`);
    this.part("note").textContent = this.spec.unit;
  }

  describe() {
    const total = this.grid.runIds().length;
    const words = [this.spec.unit];
    if (this.scale.name !== "linear") words.push(this.scale.name);
    if (this.xScale.name !== "linear") words.push("log x");
    const drawn = this.curves.reduce((sum, curve) => sum + (curve.runs?.length ?? 1), 0);
    if (drawn < total) words.push(`${drawn} of ${total} runs`);
    if (this.refused.length > 0) words.push(`${this.refused.length} too long`);
    const odd = this.curves.reduce((sum, curve) => sum + (curve.not_numbers ?? 0), 0);
    if (odd) words.push(`${odd} ${odd === 1 ? "value is no number" : "values are no numbers"}`);
    this.part("note").textContent = words.filter(Boolean).join(" \u00b7 ");
    this.part("note").title = this.refused[0]?.detail ?? "";
    this.part("sentence").textContent = this.sentence();
  }

  // "val/acc, 5 runs, best 0.988 by cnn-small-aug"
  sentence() {
    const count = this.curves.length;
    const parts = [this.metric, `${count} ${count === 1 ? "run" : "runs"}`];
    const key = this.spec.better === "lower" ? "min" : "max";
    const known = this.curves.filter((curve) => Number.isFinite(curve.last?.[key]));
    if (known.length > 0) {
      const best = known.reduce((a, b) => ((key === "min" ? b.last.min < a.last.min : b.last.max > a.last.max) ? b : a));
      const word = this.spec.better === null ? "highest" : this.spec.better === "lower" ? "lowest" : "best";
      parts.push(`${word} ${formatValue(best.last[key] / this.spec.divisor)} by ${best.name}`);
    }
    if (this.curves.some((curve) => curve.status === "running")) parts.push("still running");
    return parts.join(", ");
  }

  // ---- hover

  hover(x, y = 0, how = "pointer") {
    if (x === null || !this.ready()) return this.section.hover(null, this);
    const { left, right } = this.plot.frame;
    if (how === "pointer" && (x < left - 6 || x > right + 6)) return this.section.hover(null, this);
    this.hoverAt(this.xAt(Math.min(Math.max(x, left), right)), y, how);
  }

  hoverAt(x, y, how) {
    const place = this.snap(x);
    if (place === null) return this.section.hover(null, this);
    this.cursor = place;
    const found = this.valuesAt(place).sort((a, b) => b.value - a.value || 0);
    const nearest = found.length > 0 ? found.reduce((a, b) => (Math.abs(b.pixel - y) < Math.abs(a.pixel - y) ? b : a)) : null;
    this.section.hover(place, this, nearest?.id);
    if (nearest === null) return hideHoverCard();
    const box = this.plotElement.getBoundingClientRect();
    showHoverCard(this.element.closest("dialog") ?? document.body, {
      title: xTitle(this.grid.axis, found[0].moment),
      rows: found,
      nearest,
      unit: this.spec.unit,
      at: { x: box.left + this.pixelAt(place), y: box.top + (how === "keyboard" ? this.plot.frame.top : y) },
      plot: box,
      pinned: how === "tap",
    });
  }

  // The place of the drawn point nearest to `x`.
  snap(x) {
    let best = null;
    for (const { curve } of this.runs) {
      const candidate = curve.x[nearestIndex(curve.x, x)];
      if (best === null || Math.abs(candidate - x) < Math.abs(best - x)) best = candidate;
    }
    const [low, high] = this.range();
    return best !== null && best >= low && best <= high ? best : null;
  }

  valuesAt(place) {
    const [low, high] = this.range();
    const { top, height, width } = this.plot.frame;
    const [start, end] = this.yRange;
    const found = [];
    for (const run of this.runs) {
      const { curve } = run;
      const i = nearestIndex(curve.x, place);
      const spacing = (curve.x[curve.x.length - 1] - curve.x[0]) / Math.max(curve.x.length - 1, 1);
      if (Math.abs(curve.x[i] - place) > Math.max(spacing * 1.5, ((high - low) / width) * 2)) continue;
      const drawn = this.scale.to(run.line[i]);
      const pixel = top + height * (1 - (drawn - start) / (end - start));
      const moment = { x: curve.x[i], step: curve.step[i], time: curve.time[i], start: curve.start ?? curve.time[0] - curve.x[0] };
      found.push({ id: curve.run_id, name: curve.name, spread: spreadOf(run, i, this.spec.divisor, this.layout.get("band")), color: run.color, value: run.values[i], pixel, moment });
    }
    return found;
  }

  pixelAt(x) {
    const { left, width } = this.plot.frame;
    const [low, high] = this.drawnEnds(this.range());
    return left + ((this.xScale.to(x) - low) / (high - low)) * width;
  }

  // The crosshair of all charts: a line and a dot on each run, drawn over the canvas so that it need not be painted anew.
  // `nearest` is the run that the pointer is nearest to, in the chart where it is.
  showCrosshair(place, isSource, nearest) {
    if (place === null || !this.ready()) return this.clearOverlay();
    const { top, height, left, right } = this.plot.frame;
    const across = this.pixelAt(place);
    if (!(across >= left - 1 && across <= right + 1)) return this.clearOverlay();
    const line = document.createElement("div");
    line.className = "chart-crosshair";
    line.style.transform = `translate(${across}px, ${top}px)`;
    line.style.height = `${height}px`;
    const found = this.valuesAt(place);
    const dots = found
      .filter(({ pixel, id }, i) => pixel >= top - 1 && pixel <= top + height + 1 && (i < MOST_DOTS || id === nearest))
      .map(({ pixel, color }) => {
        const dot = document.createElement("div");
        dot.className = "chart-dot";
        dot.style.background = color;
        dot.style.transform = `translate(${across}px, ${pixel}px)`;
        return dot;
      });
    this.clearOverlay();
    this.overlay.append(line, ...dots, ...(isSource ? [] : this.readOut(found, nearest)));
  }

  // In the other charts: what the runs have there, at most three of them, the one under the pointer first.
  readOut(found, nearest) {
    if (found.length === 0) return [];
    const sorted = [...found].sort((a, b) => (b.id === nearest) - (a.id === nearest) || b.value - a.value);
    const shown = sorted.slice(0, MOST_READ_OUT);
    const words = formatValues(shown.map(({ value }) => value));
    const box = document.createElement("div");
    box.className = "chart-readout";
    shown.forEach(({ color }, i) => {
      const dot = document.createElement("i");
      dot.style.background = color;
      const number = document.createElement("b");
      number.textContent = words[i];
      box.append(dot, number);
    });
    if (found.length > shown.length) box.append(`+${found.length - shown.length}`);
    return [box];
  }

  clearOverlay() {
    for (const element of [...this.overlay.children]) if (!element.matches(".is-measuring")) element.remove();
  }

  // Arrow keys: one drawn point further, ten with Shift.
  step(direction, far) {
    if (!this.ready() || this.runs.length === 0) return;
    const longest = this.runs.reduce((a, b) => (b.curve.x.length > a.curve.x.length ? b : a)).curve.x;
    const [low, high] = this.range();
    const from = this.cursor ?? (direction > 0 ? low : high);
    const i = nearestIndex(longest, from) + (this.cursor === undefined ? 0 : direction * (far ? 10 : 1));
    this.hoverAt(longest[Math.min(Math.max(i, 0), longest.length - 1)], this.plot.frame.top, "keyboard");
  }

  // ---- acts

  zoom(low, high) {
    this.section.setZoom(low, high, this);
  }

  resetZoom() {
    this.section.resetZoom();
  }

  choose(choices) {
    this.layout.setEntry("charts", "metric", this.metric, choices);
    for (const card of this.section.cards) if (card.metric === this.metric) card.draw();
  }

  // ---- measuring a stretch of x

  isMeasuring() {
    return this.measuring === "wanted";
  }

  measure(low, high) {
    this.measuring = { low: Math.min(low, high), high: Math.max(low, high) };
    showMeasure(this);
  }

  // From the keyboard: the first press marks where the crosshair stands, the second measures up to it.
  measureFromCursor() {
    if (!this.ready() || this.cursor === undefined) return;
    if (typeof this.measureFrom === "number") {
      this.measure(this.measureFrom, this.cursor);
      this.measureFrom = undefined;
    } else {
      this.measureFrom = this.cursor;
    }
  }

  endMeasuring() {
    this.measuring = null;
    this.measureFrom = undefined;
    closeMeasure(this);
  }

  act(event) {
    const button = event.target.closest("[data-chart-action]");
    if (!button) return;
    if (button.dataset.chartAction === "reset") this.resetZoom();
    else if (button.dataset.chartAction === "full") this.openFullSize();
    else if (button.dataset.chartAction === "settings") openSettingsMenu(button, this);
    else openMoreMenu(button, this);
  }

  openFullSize() {
    if (this.fullSize) this.element.closest("dialog").close();
    else openFullSize(this, ChartCard);
  }

  // Far out of view: what takes memory goes, and comes back with the next look.
  suspend() {
    if (!this.plot || this.inView) return;
    this.plot.destroy();
    this.plot = null;
    this.curves = [];
    this.runs = [];
    this.stale = true;
    this.loadNumber += 1;
    this.element.dataset.state = "resting";
  }

  remove() {
    clearTimeout(this.timer);
    this.loadNumber += 1;
    this.resizing.disconnect();
    this.endMeasuring();
    this.plot?.destroy();
    this.plot = null;
    this.element.remove();
  }
}

// How far a group's runs are apart at one of its places, in the unit of the chart: what stands behind the mean.
function spreadOf({ curve, edges }, place, divisor, band) {
  if (!curve.group || edges.length === 0 || !(curve.runs.length > 1)) return null;
  const [low, high] = band === "std" ? [curve.mean[place] - curve.std[place], curve.mean[place] + curve.std[place]] : [curve.min[place], curve.max[place]];
  return { low: low / divisor, high: high / divisor };
}
