// What charts ask the server for: few requests, since charts that come into view together ask together.
import { root } from "../addresses.js";

const AT_ONCE = 3;
const METRICS_TOGETHER = 6;
const LINES_TOGETHER = 240; // of all metrics of one answer: 4 MB

let running = 0;
const queue = [];
let gathered = [];

export class RequestFailed extends Error {}

export async function fetchJson(url, signal) {
  let response;
  try {
    response = await fetch(url, { signal, headers: { Accept: "application/json" } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new RequestFailed("The viewer does not answer. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new RequestFailed(body?.detail || body?.title || `The viewer answered ${response.status}.`);
  return body;
}

// The curves of one metric, or of an expression, columns as Float64Array.
// `query`: {runs, pixels, axis, from, to, x_scale, group: [columns]}. Gives {curves, refused}.
export function fetchCurves(spec, query) {
  return new Promise((resolve, reject) => {
    if (gathered.length === 0) queueMicrotask(() => setTimeout(sendGathered, 0));
    gathered.push({ name: spec.metric, isExpression: spec.expression === true, query, resolve, reject });
  });
}

export async function fetchSections(runs, kind) {
  return (await fetchJson(`${root}/api/v1/chart-sections?${new URLSearchParams({ runs: runs.join(","), kind })}`)).sections;
}

// What runs have in columns of the table, in words: Map of run id to words.
export async function fetchRunValues(runs, keys) {
  const search = new URLSearchParams({ runs: runs.join(",") });
  for (const key of keys) search.append("key", key);
  const answer = await fetchJson(`${root}/api/v1/run-values?${search}`);
  return new Map(answer.runs.map(({ run_id, values }) => [run_id, values]));
}

export async function searchMetrics(runs, pattern, signal) {
  const search = new URLSearchParams({ runs: runs.join(","), q: pattern });
  return new Set((await fetchJson(`${root}/api/v1/chart-search?${search}`, signal)).metrics);
}

function sendGathered() {
  const groups = new Map();
  for (const wish of gathered) {
    const key = JSON.stringify([wish.query, wish.isExpression]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(wish);
  }
  gathered = [];
  for (const wishes of groups.values()) {
    const together = Math.min(METRICS_TOGETHER, Math.max(Math.floor(LINES_TOGETHER / wishes[0].query.runs.length), 1));
    for (let i = 0; i < wishes.length; i += together) queue.push(wishes.slice(i, i + together));
  }
  sendNext();
}

function sendNext() {
  while (running < AT_ONCE && queue.length > 0) {
    running += 1;
    send(queue.shift()).finally(() => {
      running -= 1;
      sendNext();
    });
  }
}

async function send(wishes) {
  const { runs, pixels, axis, from, to, x_scale, group } = wishes[0].query;
  const search = new URLSearchParams({ runs: runs.join(","), pixels, axis, encoding: "compact" });
  if (from !== null) search.set("from", from);
  if (to !== null) search.set("to", to);
  if (x_scale === "log") search.set("x_scale", "log");
  for (const key of group ?? []) search.append("group", key);
  for (const wish of new Set(wishes.map(({ name }) => name))) search.append(wishes[0].isExpression ? "expression" : "metric", wish);
  try {
    const answer = await fetchJson(`${root}/api/v1/curves?${search}`);
    for (const curve of answer.curves) unpackCurve(curve);
    const of = (list, wish) => list.filter((one) => one.metric === wish.name);
    for (const wish of wishes) wish.resolve({ curves: of(answer.curves, wish), refused: of(answer.refused, wish) });
  } catch (error) {
    for (const wish of wishes) wish.reject(error);
  }
}

function unpackCurve(curve) {
  if (curve.group) return unpackBand(curve);
  for (const column of ["x", "y"]) curve[column] = unpackColumn(curve[column]);
  curve.step = curve.step === undefined ? curve.x : unpackColumn(curve.step);
  curve.time = Float64Array.from(unpackColumn(curve.after, Float32Array), (after) => curve.since + after);
  delete curve.after;
}

// A group of runs as a line like others: its mean. Deviation and extremes stand beside it.
function unpackBand(band) {
  for (const column of ["x", "mean", "std", "min", "max", "count"]) band[column] = unpackColumn(band[column]);
  const none = new Float64Array(band.x.length).fill(NaN);
  Object.assign(band, {
    run_id: groupId(band.group),
    name: band.group.join(", "),
    y: band.mean,
    step: none,
    time: none,
    start: null,
    status: "",
    last: null,
    not_numbers: 0,
    total: band.x.length,
    thinned: false,
  });
}

export function groupId(words) {
  return `group ${JSON.stringify(words)}`;
}

export function unpackColumn(text, Kind = Float64Array) {
  const bytes = atob(text);
  const buffer = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) buffer[i] = bytes.charCodeAt(i);
  return new Kind(buffer.buffer);
}
