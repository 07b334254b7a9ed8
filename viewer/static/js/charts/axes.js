// Axes: where ticks stand, what they say, how far a y axis reaches, and how a logarithm gets onto Bokeh's linear scale.
import { formatCount, formatTick, formatValue } from "./numbers.js";

// Steps and what they cost against a fit: 0.25 and 0.3 only where they suit the range much better than 0.2 or 0.5.
const STEPS = [
  [1, 0],
  [2, 0],
  [5, 0],
  [2.5, 0.2],
  [3, 0.2],
  [1.5, 0.2],
  [7.5, 0.25],
];
const LOG_DIGITS = [1, 2, 5];
const TICK_ROOM = 18; // pixels that a tick with its label needs

// ---- y

// What the values are, so that a scale can be chosen: lowest and highest finite value, lowest above 0.
export function extent(columns) {
  let low = Infinity;
  let high = -Infinity;
  let smallest = Infinity;
  for (const values of columns) {
    for (const value of values) {
      if (!Number.isFinite(value)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
      const size = Math.abs(value);
      if (size > 0 && size < smallest) smallest = size;
    }
  }
  return { low, high, smallest };
}

export const LINEAR = { name: "linear", key: "linear", to: (value) => value, from: (value) => value };
export const LOG = { name: "log", key: "log", to: Math.log10, from: (value) => 10 ** value };

// Logarithmic on both sides of 0, linear within `unit` of it.
export function symlog(unit) {
  return {
    name: "symlog",
    key: `symlog ${unit}`,
    to: (value) => Math.sign(value) * Math.log10(1 + Math.abs(value) / unit),
    from: (value) => Math.sign(value) * unit * (10 ** Math.abs(value) - 1),
  };
}

// `wanted`: "linear"; "log" as asked for by a person; "auto-log" by the metric's name, taken back at the first value that has no logarithm.
export function chooseScale(wanted, { low, high, smallest }) {
  if (wanted === "linear" || !Number.isFinite(low)) return LINEAR;
  if (low > 0) return LOG;
  if (wanted === "auto-log" || !Number.isFinite(smallest)) return LINEAR;
  return symlog(Math.max(smallest, Math.max(Math.abs(low), Math.abs(high)) * 1e-4));
}

// Range and ticks of a y axis, in drawn (scaled) numbers with their labels.
export function yAxis(scale, found, spec, height) {
  const wanted = height > 400 ? 8 : height < 180 ? 4 : 5;
  const { low, high } = Number.isFinite(found.low) ? found : { low: 0, high: 1 };
  const axis = scale.name === "log" ? logAxis(low, high, wanted, height) : scale.name === "symlog" ? symlogAxis(scale, low, high) : linearAxis(low, high, spec, wanted);
  // A pixel of air, so that the uppermost grid line and a line along it are not cut in half.
  return { ...axis, end: axis.end + ((axis.end - axis.start) * 1.2) / height };
}

function linearAxis(low, high, spec, wanted) {
  // Where 0 is near it is shown: a curve that ends at a quarter of its height should look so.
  if (low >= 0 && (spec.from_zero || low < high * 0.25)) low = 0;
  if (low === high) [low, high] = spec.from_zero && high > 0 ? [0, high] : [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
  const step = niceStep(low, high, wanted);
  let start = Math.floor(low / step + 1e-9) * step;
  let end = Math.ceil(high / step - 1e-9) * step;
  // A whole step of air for a hair's breadth of data would flatten the curve.
  if (end - high > step * 0.6 && high < end - step * 0.98) end = high;
  if (!spec.from_zero && low - start > step * 0.6) start = low - step * 0.08;
  if (end - high > step * 0.6) end = high + step * 0.08;
  if (spec.ceiling !== null && high <= spec.ceiling) end = Math.min(end, spec.ceiling);
  if (low >= 0 && start < 0) start = 0;
  const { ticks } = linearTicks(start, end, step);
  return { start, end, ticks, labels: ticks.map((tick) => formatTick(tick, step, { short: true })) };
}

function linearTicks(start, end, step) {
  const ticks = [];
  const room = step * 1e-6;
  for (let i = Math.ceil((start - room) / step); i * step <= end + room; i++) ticks.push(Number((i * step).toPrecision(12)));
  return { ticks, labels: ticks.map((tick) => formatTick(tick, step)) };
}

function logAxis(low, high, wanted, height) {
  const [start, end] = [Math.log10(low), Math.log10(high)];
  const air = Math.max((end - start) * 0.04, 0.01);
  const values = logTicks(10 ** (start - air), 10 ** (end + air));
  if (values.length < 3) {
    const step = niceStep(low, high, wanted + 1, { widened: false });
    const { ticks, labels } = linearTicks(10 ** (start - air), 10 ** (end + air), step);
    // Even steps crowd towards the top of a logarithmic axis: the next tick is the first with room for its label.
    const room = ((end - start + 2 * air) * TICK_ROOM) / height;
    const kept = [];
    for (const [i, tick] of ticks.entries()) {
      if (tick > 0 && !(Math.log10(tick) - kept.at(-1)?.at < room)) kept.push({ at: Math.log10(tick), label: labels[i] });
    }
    return { start: start - air, end: end + air, ticks: kept.map(({ at }) => at), labels: kept.map(({ label }) => label) };
  }
  return { start: start - air, end: end + air, ticks: values.map(Math.log10), labels: values.map((value) => formatTick(value, logStep(value), { short: true })) };
}

// 1-2-5 within two decades, else powers of ten, thinned so that at most seven stand.
export function logTicks(low, high) {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const digits = Math.log10(high / low) <= 2.2 ? LOG_DIGITS : [1];
  const every = digits.length > 1 ? 1 : Math.max(Math.ceil((last - first) / 6), 1);
  const ticks = [];
  for (let power = first; power <= last; power += 1) {
    if (digits.length === 1 && (power - first) % every !== 0) continue;
    for (const digit of digits) {
      const tick = Number(`${digit}e${power}`);
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks;
}

function logStep(value) {
  return 10 ** Math.floor(Math.log10(value));
}

function symlogAxis(scale, low, high) {
  const [start, end] = [scale.to(low), scale.to(high)];
  const air = (end - start) * 0.04 || 0.5;
  const sides = [];
  const unit = scale.from(1);
  if (low < 0) sides.push(...logTicks(Math.min(unit, -low), -low).map((tick) => -tick));
  sides.push(0);
  if (high > 0) sides.push(...logTicks(Math.min(unit, high), high));
  sides.sort((a, b) => a - b);
  const every = Math.max(Math.ceil(sides.length / 6), 1);
  const zero = sides.indexOf(0);
  const kept = sides.filter((_, i) => (i - zero) % every === 0);
  return {
    start: start - air,
    end: end + air,
    ticks: kept.map(scale.to),
    labels: kept.map((tick) => formatTick(tick, tick === 0 ? 1 : logStep(Math.abs(tick)), { short: true })),
  };
}

// ---- x

// How x is drawn: logarithmically where that is wanted and can be. Steps begin at 0, so within 1 of it x is linear.
export function chooseXScale(wanted, axis, [low, high]) {
  if (wanted !== "log" || axis === "wall" || !(high > 0)) return LINEAR;
  return low > 0 ? LOG : symlog(Math.max(1, high * 1e-6));
}

// The end of an unzoomed x axis: the next tick when it is near, so that 60 epochs counted from 0 end at 60.
export function xBounds(low, high, axis, wanted) {
  if (!(high > low)) return axis === "step" ? [low - 0.5, high + 0.5] : [low - 1, high + 1];
  if (axis === "wall" || isMetric(axis)) return [low, high];
  const unit = axis === "relative" ? timeUnit(high - low).seconds : 1;
  const step = niceStep(low / unit, high / unit, wanted, { whole: axis === "step", widened: false }) * unit;
  const end = Math.ceil(high / step - 1e-9) * step;
  const start = low > 0 && low < (high - low) * 0.03 ? 0 : low;
  return [start, end - high <= (high - low) * 0.04 ? end : high];
}

export function xAxis(low, high, axis, wanted, scale = LINEAR) {
  if (axis === "wall") return clockTicks(low, high, wanted);
  if (scale.name !== "linear") return logXAxis(low, high, axis, scale);
  const unit = axis === "relative" ? timeUnit(high - low) : { seconds: 1, word: "step" };
  const step = niceStep(low / unit.seconds, high / unit.seconds, wanted, { whole: axis === "step", widened: false });
  const { ticks, labels } = linearTicks(low / unit.seconds, high / unit.seconds, step);
  nameLast(labels, axis, unit.word);
  return { ticks: ticks.map((tick) => tick * unit.seconds), labels };
}

// Ticks at their drawn places.
function logXAxis(low, high, axis, scale) {
  const from = low > 0 ? low : Math.min(scale.name === "symlog" ? Math.max(scale.from(0.3), 1e-9) : high / 1e6, high);
  const values = [...(low <= 0 ? [0] : []), ...logTicks(from, high)];
  const labels = values.map((value) => formatTick(value, value ? logStep(Math.abs(value)) : 1, { short: true }));
  nameLast(labels, axis, axis === "relative" ? "s" : "step");
  return { ticks: values.map(scale.to), labels };
}

function nameLast(labels, axis, word) {
  const last = labels.length - 1;
  if (last < 0) return;
  if (isMetric(axis)) labels[last] = `${shortName(axis)} ${labels[last]}`;
  else labels[last] = axis === "relative" ? `${labels[last]} ${word}` : `step ${labels[last]}`;
}

export function isMetric(axis) {
  return axis.startsWith("metric:");
}

function shortName(axis) {
  const name = axis.slice("metric:".length);
  return name.length > 20 ? `${name.slice(0, 19)}\u2026` : name;
}

function timeUnit(seconds) {
  if (seconds < 180) return { seconds: 1, word: "s" };
  if (seconds < 6 * 3600) return { seconds: 60, word: "min" };
  if (seconds < 4 * 86400) return { seconds: 3600, word: "h" };
  return { seconds: 86400, word: "d" };
}

const CLOCK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000];

function clockTicks(low, high, wanted) {
  const step = CLOCK_STEPS.find((seconds) => (high - low) / seconds <= wanted) ?? 31536000;
  const zone = new Date(low * 1000).getTimezoneOffset() * 60;
  const ticks = [];
  for (let tick = Math.ceil((low - zone) / step) * step + zone; tick <= high; tick += step) ticks.push(tick);
  const labels = ticks.map((tick) => (step >= 86400 ? day(tick) : clock(tick, step < 60)));
  const last = labels.length - 1;
  if (last >= 0 && step < 86400) labels[last] = `${day(ticks[last])} ${labels[last]}`;
  return { ticks, labels };
}

const two = (number) => String(number).padStart(2, "0");

function day(seconds) {
  const date = new Date(seconds * 1000);
  return `${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

export function clock(seconds, withSeconds = true) {
  const date = new Date(seconds * 1000);
  const time = `${two(date.getHours())}:${two(date.getMinutes())}`;
  return withSeconds ? `${time}:${two(date.getSeconds())}` : time;
}

export function duration(seconds) {
  const whole = Math.max(Math.round(seconds), 0);
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60];
  if (days) return `${days}d ${hours}h`;
  if (hours) return `${hours}h ${two(minutes)}m`;
  return minutes ? `${minutes}m ${two(whole % 60)}s` : `${whole}s`;
}

// What a place on the x axis is called in hover card and table. A group of runs has neither steps nor times of its own.
export function xTitle(axis, { x, step, time, start }) {
  const moment = time ? `${day(time)} ${clock(time)}` : "";
  const atStep = Number.isFinite(step) ? `, step ${formatCount(step)}` : "";
  if (isMetric(axis)) return `${shortName(axis)} ${formatValue(x, 6)}${atStep}`;
  if (axis === "wall") return `${moment || `${day(x)} ${clock(x)}`}${atStep}`;
  if (axis === "relative") return `${duration(time && start ? time - start : x)}${atStep}`;
  return time ? `step ${formatCount(step)}, ${clock(time)}` : `step ${formatValue(Number.isFinite(step) ? step : x, 6)}`;
}

// The step that gives about `wanted` ticks with the ends of the range near ticks. `widened`: the range grows to the next ticks.
function niceStep(low, high, wanted, { whole = false, widened = true } = {}) {
  const span = high - low || Math.abs(high) || 1;
  const power = 10 ** Math.floor(Math.log10(span / wanted));
  let best = whole ? Math.max(Math.ceil(span / wanted), 1) : power;
  let lowestCost = Infinity;
  for (const unit of [power / 10, power, power * 10]) {
    for (const [factor, price] of STEPS) {
      const step = Number((factor * unit).toPrecision(6));
      if (whole && !Number.isInteger(step)) continue;
      const [down, up] = widened ? [Math.floor, Math.ceil] : [Math.ceil, Math.floor];
      const slack = widened ? 1e-9 : -1e-9;
      const [first, last] = [down(low / step + slack), up(high / step - slack)];
      const air = Math.abs(last - high / step) + Math.abs(low / step - first);
      const count = last - first + 1;
      const cost = price + air / wanted + Math.abs(count - wanted) * 0.12 + (count < Math.min(wanted, 4) ? 0.2 : 0) + (count < 2 ? 1 : 0); // one tick alone tells no scale
      if (cost < lowestCost) [best, lowestCost] = [step, cost];
    }
  }
  return best;
}
