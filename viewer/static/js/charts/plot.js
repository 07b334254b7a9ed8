// One Bokeh line chart: a clone of the server's empty one, driven from outside. Knows Bokeh, not where curves come from.
import { root } from "../addresses.js";
import { fetchJson } from "./api.js";
import { tokens } from "./tokens.js";

const templates = new Map();
const scripts = new Map();
let serial = 0;

const BORDERS = 56; // left and right of the frame, as plots.py sets them

export async function createPlot(element, { scriptUrls, backend }) {
  const [template] = await Promise.all([loadTemplate(backend), loadBokeh(scriptUrls, backend)]);
  // Bokeh tells models apart by id, so each clone gets ids of its own.
  serial += 1;
  const item = JSON.parse(template.replaceAll(/"p(\d+)"/g, `"c${serial}-$1"`));
  element.replaceChildren();
  const views = await globalThis.Bokeh.embed.embed_item(item, element);
  leaveTabOrder(element);
  return new LinePlot([...views][0], element, views);
}

// Bokeh makes its layer of events a stop for Tab, in shadow roots. Ours is the plot around it, which has a name and keys.
function leaveTabOrder(root) {
  for (const inner of root.querySelectorAll("*")) {
    if (inner.tabIndex >= 0) inner.tabIndex = -1;
    if (inner.shadowRoot) leaveTabOrder(inner.shadowRoot);
  }
}

function loadTemplate(backend) {
  if (!templates.has(backend)) {
    const loading = fetchJson(`${root}/api/v1/plots/line?backend=${backend}`).then(JSON.stringify);
    loading.catch(() => templates.delete(backend)); // Retry asks again
    templates.set(backend, loading);
  }
  return templates.get(backend);
}

// BokehJS is loaded when the first chart comes into view, its WebGL part when the first chart needs it.
async function loadBokeh(urls, backend) {
  for (const url of urls) {
    if (backend !== "webgl" && /-gl\b/.test(url)) continue;
    await loadScript(url);
  }
}

function loadScript(url) {
  if (!scripts.has(url)) {
    const loading = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = url;
      script.onload = resolve;
      script.onerror = () => reject(new Error("The chart library could not be loaded from the viewer."));
      document.head.append(script);
    });
    loading.catch(() => scripts.delete(url));
    scripts.set(url, loading);
  }
  return scripts.get(url);
}

class LinePlot {
  constructor(view, element, views) {
    this.view = view;
    this.element = element;
    this.views = views;
    this.model = view.model;
    const named = (name) => this.model.document.get_model_by_name(name);
    this.xAxis = named("x_axis");
    this.yAxis = named("y_axis");
    this.grid = named("y_grid");
    this.lastTick = named("last_tick");
    this.sources = {};
    for (const name of ["bands", "raw", "lines", "ends", "gaps", "last_tick"]) this.sources[name] = named(`${name}_source`);
    this.labels = { x: new Map(), y: new Map() };
    // Our labels instead of Bokeh's own: the formatter that takes JavaScript from Python would need eval.
    this.xAxis.formatter.doFormat = (ticks) => ticks.map((tick) => this.labels.x.get(tick) ?? "");
    this.yAxis.formatter.doFormat = (ticks) => ticks.map((tick) => this.labels.y.get(tick) ?? "");
    this.restyle();
  }

  // The plotting area in CSS pixels of the element.
  get frame() {
    const { left, right, top, bottom } = this.view.frame.bbox;
    return { left, right, top, bottom, width: right - left, height: bottom - top };
  }

  setLines(name, lines) {
    const data = { xs: [], ys: [], color: [], alpha: [], width: [], dash: [] };
    for (const line of lines) {
      data.xs.push(line.x);
      data.ys.push(line.y);
      data.color.push(line.color);
      data.alpha.push(line.alpha);
      data.width.push(line.width);
      data.dash.push(line.dash);
    }
    this.sources[name].data = data;
  }

  setBands(bands) {
    this.sources.bands.data = { xs: bands.map(({ x }) => x), ys: bands.map(({ y }) => y), color: bands.map(({ color }) => color), alpha: bands.map(({ alpha }) => alpha) };
  }

  setEnds(points) {
    this.sources.ends.data = columns(points, ["x", "y", "color", "alpha"]);
  }

  setGaps(points) {
    this.sources.gaps.data = columns(points, ["x", "y", "color"]);
  }

  setY({ start, end, ticks, labels }) {
    this.labels.y = new Map(ticks.map((tick, i) => [tick, labels[i]]));
    setTicks(this.yAxis, ticks, labels.join());
    setRange(this.model.y_range, start, end);
  }

  setX({ start, end, ticks, labels }) {
    const width = this.element.parentElement.clientWidth - BORDERS; // Bokeh lays out later
    const last = ticks.length - 1;
    const place = last < 0 ? 0 : ((ticks[last] - start) / (end - start)) * width;
    const half = last < 0 ? 0 : textWidth(labels[last]) / 2;
    const over = last >= 0 && place + half > width; // centred, it would leave the card
    // The neighbour gives way where the last label, which says the unit, would touch it.
    const shown = ticks.map((tick, i) => {
      if (i === last && over) return "";
      if (i !== last - 1 || last < 1) return labels[i];
      const right = ((tick - start) / (end - start)) * width + textWidth(labels[i]) / 2;
      return right + 8 > (over ? width - half * 2 : place - half) ? "" : labels[i];
    });
    this.labels.x = new Map(ticks.map((tick, i) => [tick, shown[i]]));
    setTicks(this.xAxis, ticks, shown.join());
    setRange(this.model.x_range, start, end);
    const y = this.model.y_range.start;
    this.sources.last_tick.data = over ? { x: [end], y: [y], text: [labels[last]] } : { x: [], y: [], text: [] };
  }

  restyle() {
    const { text3, grid, border } = tokens();
    this.xAxis.setv({ major_label_text_color: text3, axis_line_color: border });
    this.yAxis.major_label_text_color = text3;
    this.lastTick.text_color = text3;
    this.grid.grid_line_color = grid;
  }

  // The chart as drawn, for a download.
  toCanvas() {
    return this.view.export("png", true).canvas;
  }

  // The same as text.
  async toSvg() {
    return (await this.view.export("svg", false).to_blob()).text();
  }

  destroy() {
    this.views.clear?.();
    this.element.replaceChildren();
  }
}

function columns(points, names) {
  return Object.fromEntries(names.map((name) => [name, points.map((point) => point[name])]));
}

function setTicks(axis, ticks, words) {
  // A tick that keeps its place but changes its words has to be laid out again too.
  if (axis.ticker.ticks.join() === ticks.join() && axis.cloisterWords === words) return;
  axis.cloisterWords = words;
  axis.ticker.ticks = ticks;
  axis.ticker.change.emit();
}

function setRange(range, start, end) {
  if (range.start !== start || range.end !== end) range.setv({ start, end });
}

let ruler = null;
const widths = new Map();

function textWidth(text) {
  if (!widths.has(text)) {
    ruler ??= document.createElement("canvas").getContext("2d");
    ruler.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    widths.set(text, ruler.measureText(text).width);
  }
  return widths.get(text);
}
