// What charts ask the server for: few requests, since charts that come into view together ask together.
import { root } from "../addresses.js";

const AT_ONCE = 3;
const METRICS_TOGETHER = 6;

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

// The curves of one metric, columns as Float64Array. `query`: {runs, pixels, axis, from, to}.
export function fetchCurves(metric, query) {
  return new Promise((resolve, reject) => {
    if (gathered.length === 0) queueMicrotask(() => setTimeout(sendGathered, 0));
    gathered.push({ metric, query, resolve, reject });
  });
}

export async function fetchSections(runs, kind) {
  return (await fetchJson(`${root}/api/v1/chart-sections?${new URLSearchParams({ runs: runs.join(","), kind })}`)).sections;
}

function sendGathered() {
  const groups = new Map();
  for (const wish of gathered) {
    const key = JSON.stringify(wish.query);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(wish);
  }
  gathered = [];
  for (const wishes of groups.values()) {
    for (let i = 0; i < wishes.length; i += METRICS_TOGETHER) queue.push(wishes.slice(i, i + METRICS_TOGETHER));
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
  const { runs, pixels, axis, from, to } = wishes[0].query;
  const search = new URLSearchParams({ runs: runs.join(","), pixels, axis, encoding: "base64" });
  if (from !== null) search.set("from", from);
  if (to !== null) search.set("to", to);
  for (const metric of new Set(wishes.map((wish) => wish.metric))) search.append("metric", metric);
  try {
    const answer = await fetchJson(`${root}/api/v1/curves?${search}`);
    for (const curve of answer.curves) unpackCurve(curve);
    for (const wish of wishes) wish.resolve(answer.curves.filter((curve) => curve.metric === wish.metric));
  } catch (error) {
    for (const wish of wishes) wish.reject(error);
  }
}

function unpackCurve(curve) {
  for (const column of ["x", "step", "time", "y"]) curve[column] = unpackColumn(curve[column]);
}

export function unpackColumn(text) {
  const bytes = atob(text);
  const buffer = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) buffer[i] = bytes.charCodeAt(i);
  return new Float64Array(buffer.buffer);
}
