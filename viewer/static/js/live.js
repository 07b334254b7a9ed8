// Live updates. Where a run changes (live_source.js says so), every element with data-live-src is fetched again and
// changed in place. Charts and console listen to the DOM event `cloister:run-changed` on document, detail {run_id,
// project, status}. Nothing is fetched for a hidden page; it looks again when it is looked at.
import { LiveSource } from "./live_source.js";
import { morph, registerWithHtmx } from "./morph.js";

const REFRESH_MS = 1000; // an element is fetched at most this often, however fast a training logs; data-live-pace says otherwise
const TICK_MS = 30000; // "3 min ago" grows old without any event
const EVERY_MS = 2500; // what says how far something is: elements with data-live-every, while they have it
const STEP_MS = 2000; // between two elements that are fetched for that alone
const SPREAD_MS = 1500; // after an outage all tabs of all people look again, but not in one moment

if (window.htmx) registerWithHtmx(window.htmx);

const waiting = new Map(); // element id -> {timer, last, busy, again}
const project = document.body.dataset.project;

function liveElements(runId) {
  return [...document.querySelectorAll("[data-live-src][id]")].filter(
    (element) => runId === undefined || !element.dataset.liveRun || element.dataset.liveRun.split(",").includes(String(runId)),
  );
}

export function refreshSoon(element) {
  const state = waiting.get(element.id) || { timer: 0, last: 0, busy: false, again: false };
  waiting.set(element.id, state);
  if (state.busy) state.again = true;
  if (state.timer || state.busy) return;
  const delay = Math.max(0, state.last + (Number(element.dataset.livePace) || REFRESH_MS) - Date.now());
  state.timer = setTimeout(() => refresh(element.id, state), delay);
}

async function refresh(id, state) {
  state.timer = 0;
  const element = document.getElementById(id);
  if (!element || document.hidden) return;
  state.busy = true;
  const source = element.dataset.liveSrc;
  try {
    const answer = await fetch(source, { headers: { "HX-Request": "true", "X-Cloister-Live": "1" } });
    const html = await answer.text();
    // The person may have sorted or paged meanwhile: then this answer is to a question that is no longer asked. While
    // their own request is on its way, nothing is changed under it.
    if (isSwapping(element)) state.again = true;
    else if (answer.ok && element.isConnected && element.dataset.liveSrc === source) show(element, html);
  } catch {
    // The server is away: the page keeps what it shows, and the next event or tick asks again.
  } finally {
    state.busy = false;
    state.last = Date.now();
    if (state.again) {
      state.again = false;
      refreshSoon(element);
    }
  }
}

function isSwapping(element) {
  return element.classList.contains("htmx-request") || element.querySelector(".htmx-request") !== null;
}

function show(element, html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  const fresh = parsed.getElementById(element.id);
  if (!fresh) return;
  morph(element, document.adoptNode(fresh));
  if (window.htmx) window.htmx.process(element);
  element.dispatchEvent(new CustomEvent("cloister:refreshed", { bubbles: true }));
}

function announce(change) {
  if (project && change.project && change.project !== project) return;
  document.dispatchEvent(new CustomEvent("cloister:run-changed", { detail: change }));
  for (const element of liveElements(change.run_id)) refreshSoon(element);
}

function refreshAll() {
  for (const element of liveElements()) refreshSoon(element);
}

function refreshInTurn() {
  if (document.hidden) return;
  liveElements().forEach((element, place) => setTimeout(() => refreshSoon(element), place * STEP_MS));
}

// A page without anything live (an error page) opens no stream: browsers allow six connections per server.
if (document.querySelector("[data-live-src], [data-live-run], [data-run]")) {
  const since = document.body.dataset.liveSince;
  // Nor does one that a share link opened: the stream tells of more than a link does. It looks again now and then.
  // From when the page was made on: what changed while it travelled and its stream was opened must not go unheard.
  if (since) new LiveSource({ project, since, onChange: announce, onGap: () => setTimeout(refreshAll, Math.random() * SPREAD_MS) });
  setInterval(refreshInTurn, TICK_MS);
  setInterval(() => {
    if (!document.hidden) document.querySelectorAll("[data-live-every][data-live-src][id]").forEach(refreshSoon);
  }, EVERY_MS);
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refreshAll();
  });
}
