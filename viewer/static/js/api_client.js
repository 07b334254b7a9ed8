// The REST API from a page: callApi(method, path, body) gives the answer's JSON (null for an answer without a body) or
// throws an ApiError whose message is the sentence that the server gives. `path` is below /api/v1, of the database that
// this page shows: callApi("PATCH", `/runs/${id}`, {notes}). Options: ifMatch, an ETag from `lastETag(answer)`.
import { root } from "./addresses.js";

const PREFIX = "/api/v1";
const etags = new WeakMap(); // answer -> its ETag

export class ApiError extends Error {
  constructor(sentence, status, problem = null, retrySeconds = 0) {
    super(sentence);
    this.name = "ApiError";
    this.status = status; // 0: the server did not answer at all
    this.problem = problem;
    this.retrySeconds = retrySeconds;
  }
}

export async function callApi(method, path, body, { ifMatch = null, signal = undefined } = {}) {
  const headers = { Accept: "application/json" };
  if (body !== undefined && body !== null) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRF-Token"] = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  if (ifMatch) headers["If-Match"] = ifMatch;
  const answer = await ask(`${root}${PREFIX}${path}`, {
    method,
    headers,
    signal,
    body: body === undefined || body === null ? undefined : JSON.stringify(body),
  });
  if (!answer.ok) throw await problemOf(answer);
  if (answer.status === 204) return null;
  const found = await answer.json();
  if (found !== null && typeof found === "object") etags.set(found, answer.headers.get("ETag"));
  return found;
}

// What an answer of callApi was like then: sent back as ifMatch, a change is refused (412) if somebody was faster.
export function lastETag(answer) {
  return etags.get(answer) ?? null;
}

async function ask(address, request) {
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The viewer did not answer. Nothing was changed as far as this page knows.", 0);
  }
}

async function problemOf(answer) {
  const retrySeconds = Number(answer.headers.get("Retry-After")) || 0;
  try {
    const problem = await answer.json();
    return new ApiError(problem.detail || problem.title || answer.statusText, answer.status, problem, retrySeconds);
  } catch {
    return new ApiError(`The viewer answered with ${answer.status}.`, answer.status, null, retrySeconds);
  }
}
