// From curves to what stands in a plot: lines, raw lines behind them, end dots, gap marks, y axis. Pure functions.
import { chooseScale, extent, yAxis } from "./axes.js";
import { smooth, smoothingUnit } from "./smoothing.js";
import { slotColor, slotDash } from "./tokens.js";

const LINE = 1.5;
const HIGHLIGHTED_LINE = 2.5;
const OTHERS_ALPHA = 0.75;
const RAW_ALPHA = 0.25;
const BEYOND_SLOTS_ALPHA = 0.4;
const MOST_GAP_MARKS = 100;
const MOST_LONELY_DOTS = 1000;

// One drawn run: the curve, its colour, its values in the chart's unit, the line as it is drawn (smoothed or not).
export function prepare(curves, { slots, hidden, spec, smoothing, span }) {
  return curves
    .filter((curve) => !hidden.has(curve.run_id) && curve.x.length > 0)
    .map((curve) => {
      const slot = slots.get(curve.run_id) ?? 0;
      const values = spec.divisor === 1 ? curve.y : curve.y.map((value) => value / spec.divisor);
      const smoothed = smoothing > 0 && spec.smooth && values.length > 2;
      const unit = smoothed ? smoothingUnit(span, curve.last?.count ?? curve.total) : 1;
      const line = smoothed ? smooth(curve.x, values, smoothing, unit) : values;
      return { curve, slot, color: slotColor(slot), dash: slotDash(slot), values, line, smoothed };
    });
}

// Everything that LinePlot's setters take. `range`: [low, high] on x.
export function compose(runs, { spec, scaleName, ignoreOutliers, range, height, highlighted }) {
  const inRange = runs.map((run) => cut(run, range));
  const found = ignoreOutliers ? withoutOutliers(inRange) : extent(inRange);
  const scale = chooseScale(scaleName, found);
  const y = yAxis(scale, found, spec, height);
  const ordered = [...runs].sort((a, b) => (a.curve.run_id === highlighted) - (b.curve.run_id === highlighted));
  const raw = [];
  const lines = [];
  const ends = [];
  const gaps = [];
  for (const run of ordered) {
    const isHighlighted = run.curve.run_id === highlighted;
    const faded = highlighted !== null && !isHighlighted;
    const alpha = run.slot > 0 ? (faded ? OTHERS_ALPHA : 1) : BEYOND_SLOTS_ALPHA;
    const { color, dash } = run;
    const x = run.curve.x;
    const drawn = scaled(run.line, scale);
    if (run.smoothed) raw.push({ x, y: scaled(run.values, scale), color, dash: [], alpha: alpha * RAW_ALPHA, width: 1 });
    lines.push({ x, y: drawn, color, dash, alpha, width: isHighlighted ? HIGHLIGHTED_LINE : LINE });
    const end = endOf(x, drawn, range, y);
    // A running run goes on from here; a run of a single point would be invisible without a dot.
    if (end && (run.curve.status === "running" || x.length === 1)) ends.push({ ...end, color, alpha });
    for (const place of lonelyOf(drawn)) {
      const inside = x[place] >= range[0] && x[place] <= range[1] && drawn[place] >= y.start && drawn[place] <= y.end;
      if (inside) ends.push({ x: x[place], y: drawn[place], color, alpha });
    }
    for (const place of gapsOf(run.values)) {
      if (x[place] >= range[0] && x[place] <= range[1]) gaps.push({ x: x[place], y: y.start, color });
    }
  }
  return { scale, y, raw, lines, ends, gaps };
}

function scaled(values, scale) {
  if (scale.name === "linear") return values.every(Number.isFinite) ? values : values.map((value) => (Number.isFinite(value) ? value : NaN));
  return values.map((value) => {
    const place = scale.to(value);
    return Number.isFinite(place) ? place : NaN;
  });
}

function cut({ curve, values }, [low, high]) {
  if (curve.x[0] >= low && curve.x[curve.x.length - 1] <= high) return values;
  return values.filter((_, i) => curve.x[i] >= low && curve.x[i] <= high);
}

function withoutOutliers(columns) {
  const all = Float64Array.from(columns.flatMap((column) => [...column].filter(Number.isFinite))).sort();
  if (all.length < 20) return extent([all]);
  return extent([all.slice(Math.floor(all.length * 0.02), Math.ceil(all.length * 0.98))]);
}

function endOf(x, drawn, [low, high], y) {
  for (let i = x.length - 1; i >= 0; i--) {
    if (!Number.isFinite(drawn[i])) continue;
    const inside = x[i] >= low && x[i] <= high && drawn[i] >= y.start && drawn[i] <= y.end;
    return inside ? { x: x[i], y: drawn[i] } : null;
  }
  return null;
}

// Points between two gaps: no line leads to them, so without a dot they would not be seen.
function lonelyOf(drawn) {
  const places = [];
  for (let i = 0; i < drawn.length && drawn.length > 1 && places.length < MOST_LONELY_DOTS; i++) {
    if (Number.isFinite(drawn[i]) && !Number.isFinite(drawn[i - 1]) && !Number.isFinite(drawn[i + 1])) places.push(i);
  }
  return places;
}

function gapsOf(values) {
  const starts = [];
  for (let i = 0; i < values.length && starts.length < MOST_GAP_MARKS; i++) {
    if (!Number.isFinite(values[i]) && (i === 0 || Number.isFinite(values[i - 1]))) starts.push(i);
  }
  return starts;
}

// The index of the point nearest to `x` in an ascending column.
export function nearestIndex(xs, x) {
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
}
