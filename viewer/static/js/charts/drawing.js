// From curves to what stands in a plot: lines, raw lines behind them, end dots, gap marks, y axis. Pure functions.
import { chooseScale, extent, yAxis } from "./axes.js";
import { smooth, smoothingUnit } from "./smoothing.js";
import { tokens } from "./tokens.js";

const LINE = 1.5;
const HIGHLIGHTED_LINE = 2.5;
const OTHERS_ALPHA = 0.75;
const RAW_ALPHA = 0.25;
const BEYOND_SLOTS_ALPHA = 0.4;
const BAND_ALPHA = 0.14;
const MOST_SORTED = 20000;
const MOST_GAP_MARKS = 100;
const MOST_LONELY_DOTS = 1000;

// One drawn line: the curve, its colour, its values in the chart's unit, the line as it is drawn (smoothed or not), and
// for a group of runs the edges of its band.
export function prepare(curves, { colours, hidden, spec, smoothing, span, band }) {
  return curves
    .filter((curve) => !hidden.has(curve.run_id) && curve.x.length > 0)
    .map((curve) => {
      const inUnit = (column) => (spec.divisor === 1 ? column : kept(column, "unit", spec.divisor, () => column.map((value) => value / spec.divisor)));
      const values = inUnit(curve.y);
      const smoothed = smoothing.kind !== "none" && smoothing.strength > 0 && spec.smooth && values.length > 2;
      const unit = smoothed ? smoothingUnit(span, curve.last?.count ?? curve.total) : 1;
      const drawn = (column) => (smoothed ? kept(column, "smooth", `${smoothing.kind} ${smoothing.strength} ${unit}`, () => smooth(curve.x, column, smoothing, unit)) : column);
      const edges = curve.group ? bandEdges(curve, band).map(inUnit).map(drawn) : [];
      return { curve, ...colours.of(curve), values, line: drawn(values), smoothed, edges };
    });
}

// What was reckoned from a column the last time, if that was the same: a line that is highlighted is not smoothed anew.
const reckoned = new WeakMap();

function kept(column, what, key, reckon) {
  if (!reckoned.has(column)) reckoned.set(column, new Map());
  const known = reckoned.get(column).get(what);
  if (known?.key === key) return known.value;
  const value = reckon();
  reckoned.get(column).set(what, { key, value });
  return value;
}

function bandEdges(curve, band) {
  if (band === "minmax") return [curve.min, curve.max];
  if (band === "std") return [curve.mean.map((mean, i) => mean - curve.std[i]), curve.mean.map((mean, i) => mean + curve.std[i])];
  return [];
}

// Everything that LinePlot's setters take. `range`: [low, high] on x; `xScale` is where x is drawn.
export function compose(runs, { spec, scaleName, ignoreOutliers, range, height, highlighted, xScale }) {
  const inRange = runs.flatMap((run) => [run.values, ...run.edges].map((column) => cut(run.curve, column, range)));
  const found = ignoreOutliers ? withoutOutliers(inRange) : extent(inRange);
  const scale = chooseScale(scaleName, found);
  const y = yAxis(scale, found, spec, height);
  // Grey ones behind, the highlighted one before all others.
  const rank = (run) => (run.curve.run_id === highlighted ? 2 : run.slot > 0 ? 1 : 0);
  const ordered = [...runs].sort((a, b) => rank(a) - rank(b));
  const drawing = { scale, y, raw: [], lines: [], bands: [], ends: [], gaps: [] };
  for (const run of ordered) addRun(drawing, run, { range, xScale, highlighted });
  return drawing;
}

function addRun({ scale, y, raw, lines, bands, ends, gaps }, run, { range, xScale, highlighted }) {
  const isHighlighted = run.curve.run_id === highlighted;
  const faded = highlighted !== null && !isHighlighted;
  const { color, dash } = isHighlighted && run.slot === 0 ? { color: tokens().text, dash: [] } : run;
  const alpha = run.slot > 0 || isHighlighted ? (faded ? OTHERS_ALPHA : 1) : BEYOND_SLOTS_ALPHA;
  const places = run.curve.x;
  const x = scaledX(run.curve, xScale);
  const drawn = scaled(run.line, scale);
  if (run.edges.length > 0) bands.push({ ...bandOutline(x, ...run.edges.map((edge) => scaled(edge, scale))), color, alpha: BAND_ALPHA });
  if (run.smoothed && !run.curve.group) raw.push({ x, y: scaled(run.values, scale), color, dash: [], alpha: alpha * RAW_ALPHA, width: 1 });
  lines.push({ x, y: drawn, color, dash, alpha, width: isHighlighted ? HIGHLIGHTED_LINE : LINE });
  const end = endOf(places, drawn, range, y);
  // A running run goes on from here; a run of a single point would be invisible without a dot.
  if (end && (run.curve.status === "running" || places.length === 1)) ends.push({ x: xScale.to(end.x), y: end.y, color, alpha });
  for (const place of lonelyOf(drawn)) {
    const inside = places[place] >= range[0] && places[place] <= range[1] && drawn[place] >= y.start && drawn[place] <= y.end;
    if (inside) ends.push({ x: x[place], y: drawn[place], color, alpha });
  }
  for (const place of gapsOf(run.values)) {
    if (places[place] >= range[0] && places[place] <= range[1]) gaps.push({ x: x[place], y: y.start, color });
  }
}

// x where it is drawn. Kept with the curve: it changes with the scale alone.
function scaledX(curve, scale) {
  if (scale.name === "linear") return curve.x;
  if (curve.scaledFor !== scale.key) {
    curve.scaledX = curve.x.map((value) => {
      const place = scale.to(value);
      return Number.isFinite(place) ? place : NaN;
    });
    curve.scaledFor = scale.key;
  }
  return curve.scaledX;
}

// Along the upper edge and back along the lower one, only where both are numbers.
function bandOutline(x, low, high) {
  const there = [...x.keys()].filter((i) => Number.isFinite(x[i]) && Number.isFinite(low[i]) && Number.isFinite(high[i]));
  const back = [...there].reverse();
  return { x: [...there.map((i) => x[i]), ...back.map((i) => x[i])], y: [...there.map((i) => high[i]), ...back.map((i) => low[i])] };
}

function scaled(values, scale) {
  if (scale.name === "linear" && values.every(Number.isFinite)) return values;
  return kept(values, "scaled", scale.key, () =>
    values.map((value) => {
      const place = scale.to(value);
      return Number.isFinite(place) ? place : NaN;
    }),
  );
}

function cut(curve, values, [low, high]) {
  if (curve.x[0] >= low && curve.x[curve.x.length - 1] <= high) return values;
  return values.filter((_, i) => curve.x[i] >= low && curve.x[i] <= high);
}

// The extent of what is left when the lowest and the highest fiftieth are cut off; of very many values of a part of them.
function withoutOutliers(columns) {
  const count = columns.reduce((sum, column) => sum + column.length, 0);
  const every = Math.max(Math.ceil(count / MOST_SORTED), 1);
  const chosen = [];
  let place = 0;
  for (const column of columns) {
    for (const value of column) {
      place += 1;
      if (place % every === 0 && Number.isFinite(value)) chosen.push(value);
    }
  }
  const all = Float64Array.from(chosen).sort();
  if (all.length < 20) return extent(columns);
  return extent([all.slice(Math.floor(all.length * 0.02), Math.ceil(all.length * 0.98))]);
}

// What a stretch of x holds of one line: its extremes, and how far it went. Null where it has no number there.
export function measure({ curve, values }, [low, high]) {
  let found = null;
  for (let i = 0; i < curve.x.length; i++) {
    const value = values[i];
    if (curve.x[i] < low || curve.x[i] > high || !Number.isFinite(value)) continue;
    found ??= { min: value, max: value, first: value, last: value };
    found.min = Math.min(found.min, value);
    found.max = Math.max(found.max, value);
    found.last = value;
  }
  return found && { ...found, delta: found.last - found.first };
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
