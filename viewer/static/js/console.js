// The console tab. The server draws every line; here lines are joined, counted, followed, searched and let go again.

import { LineSearch } from "./console_search.js";
import { drawMap } from "./console_map.js";

const LINES_KEPT = 5000; // in the page at once; the rest is fetched again when somebody scrolls there
const LINE_LIMIT_CHARS = 4000;
const NEAR_END_PIXELS = 24;

const root = document.querySelector("[data-console]");
const part = (name) => root.querySelector(`[data-${name}]`);
const scroll = part("scroll");
const lines = part("lines");
const newLines = part("new");
const followSwitch = part("follow");

const state = {
  first: root.dataset.first,
  last: root.dataset.last,
  earlier: root.dataset.earlier === "yes",
  later: root.dataset.later === "yes", // the page ends before the console does
  traceback: root.dataset.traceback,
  follow: true,
  waiting: 0, // lines that came while the reader was elsewhere
  unended: {}, // stream -> the line that goes on with what the stream writes next
  cutOff: new Set(), // streams whose unended line was let go: what follows is a line of its own
  busy: false,
  again: false,
};

const hasMore = (by) => (by < 0 ? state.earlier : state.later);
const search = new LineSearch(lines, () => drawMap(part("map"), scroll, lines), hasMore);

// ---- lines

function streamOf(line) {
  return line.classList.contains("is-stderr") ? "stderr" : "stdout";
}

function numberOf(line) {
  return Number(line?.querySelector(".console-number").dataset.number ?? 0);
}

function setNumber(line, number) {
  line.querySelector(".console-number").dataset.number = number;
}

function rememberUnended() {
  state.unended = {};
  for (const line of lines.querySelectorAll("[data-unended]")) state.unended[streamOf(line)] = line;
}

/** Let `line` go on where `open` ended, as the terminal would show it. */
function join(open, line) {
  const [before, after] = [open.querySelector(".console-text"), line.querySelector(".console-text")];
  const overwrites = "replaces" in line.dataset || ("returned" in open.dataset && after.textContent !== "");
  if (overwrites) {
    before.replaceChildren(...after.childNodes);
    open.querySelector(".console-time").replaceWith(line.querySelector(".console-time"));
  } else if (before.textContent.length < LINE_LIMIT_CHARS) {
    before.append(...after.childNodes);
  }
  for (const name of ["unended", "returned"]) {
    if (name in line.dataset) open.dataset[name] = "";
    else delete open.dataset[name];
  }
  open.classList.toggle("is-failure", open.classList.contains("is-failure") || line.classList.contains("is-failure"));
  search.refresh(open);
}

function append(chunk) {
  let number = numberOf(lines.lastElementChild);
  let added = 0;
  for (const line of [...chunk.children]) {
    const stream = streamOf(line);
    const open = state.unended[stream];
    if ("continues" in line.dataset && open?.isConnected) {
      join(open, line);
      if (!("unended" in open.dataset)) delete state.unended[stream];
      continue;
    }
    setNumber(line, ++number);
    lines.append(line);
    search.refresh(line);
    added += 1;
    if ("unended" in line.dataset) state.unended[stream] = line;
    else delete state.unended[stream];
  }
  return added;
}

function prepend(chunk) {
  const next = {};
  for (const line of [...lines.children].reverse()) if ("continues" in line.dataset) next[streamOf(line)] = line;
  const arrived = [...chunk.children];
  for (const line of arrived) {
    const stream = streamOf(line);
    if (!("unended" in line.dataset) || !next[stream] || state.cutOff.has(stream)) continue;
    const follower = next[stream];
    join(line, follower);
    if (state.unended[stream] === follower) state.unended[stream] = line;
    follower.remove();
  }
  for (const line of lines.querySelectorAll("[data-continues]")) delete line.dataset.continues;
  state.cutOff.clear();
  let number = numberOf(lines.firstElementChild) || arrived.length + 1;
  for (const line of arrived.slice().reverse()) setNumber(line, --number);
  lines.prepend(...arrived);
  for (const line of arrived) search.refresh(line);
  if (!state.earlier && numberOf(lines.firstElementChild) !== 1) renumber(1);
  else if (numberOf(lines.firstElementChild) < 1) renumber(1);
}

function renumber(first) {
  let number = first;
  for (const line of lines.children) setNumber(line, number++);
}

/** Let the oldest lines go, at a piece's start, so that `before=` finds exactly them again. */
function trimTop() {
  let surplus = lines.childElementCount - LINES_KEPT;
  if (surplus <= 0) return;
  let cut = lines.children[surplus];
  while (cut && !cut.dataset.cursor) cut = cut.nextElementSibling;
  if (!cut) return;
  while (lines.firstElementChild !== cut) {
    const line = lines.firstElementChild;
    if ("unended" in line.dataset) state.cutOff.add(streamOf(line));
    line.remove();
  }
  state.first = cut.dataset.cursor;
  setEarlier(true);
}

/** The same at the bottom, for a reader who went far up. */
function trimBottom() {
  if (lines.childElementCount <= LINES_KEPT) return;
  let cut = lines.children[LINES_KEPT];
  while (cut && !cut.dataset.cursor) cut = cut.nextElementSibling;
  if (!cut) return;
  state.last = String(Number(cut.dataset.cursor) - 1);
  while (lines.lastElementChild !== cut) lines.lastElementChild.remove();
  cut.remove();
  state.later = true;
  state.traceback = "";
  rememberUnended();
}

function setEarlier(earlier) {
  state.earlier = earlier;
  root.querySelector('[data-edge="earlier"]').hidden = !earlier;
}

// ---- fetching

/** Lines after or before a cursor; the newest where there is no cursor yet. */
async function fetchChunk({ after, before, traceback }) {
  const query = after ? { after, traceback: traceback ?? "" } : before ? { before } : {};
  const response = await fetch(`${root.dataset.url}?${new URLSearchParams(query)}`, { headers: { Accept: "text/html" } });
  if (!response.ok) throw new Error(`The viewer answered ${response.status}.`);
  const answer = document.createElement("template");
  answer.innerHTML = await response.text(); // our own server's, every text in it escaped
  const chunk = answer.content.querySelector("[data-chunk]");
  const status = answer.content.querySelector("[data-status]");
  const ending = answer.content.querySelector("[data-ending]");
  if (ending) part("ending").replaceWith(ending);
  if (status) showStatus(status);
  return chunk;
}

function showStatus(status) {
  followSwitch.hidden = status.dataset.live !== "yes";
  const shown = part("status");
  const last = shown.querySelector("[data-last-time]");
  const missing = !status.querySelector("[data-last-time]") && last;
  if (missing) status.querySelector(".status").after(last.parentElement.cloneNode(true));
  shown.replaceWith(status);
}

/** Run one fetch at a time; a wish that comes meanwhile is granted once afterwards. */
async function alone(work) {
  if (state.busy) return false;
  state.busy = true;
  let done = true;
  try {
    await work();
  } catch {
    done = false; // the viewer or the network is away: what is shown stays, and the next change asks again
  } finally {
    state.busy = false;
  }
  if (state.again) {
    state.again = false;
    void update();
  } else if (done) {
    loadNear(); // the reader may have come to an edge meanwhile
  }
  return true;
}

async function update() {
  if (state.busy) {
    state.again = true;
    return;
  }
  await alone(async () => {
    const known = Number(part("status").dataset.total);
    if (state.later && state.follow) return loadEnd(); // asked for while another fetch was under way
    if (state.later) {
      await fetchChunk({ after: state.last }); // for the status line alone
      state.waiting += Math.max(0, Number(part("status").dataset.total) - known);
      showWaiting();
      return;
    }
    const chunk = await fetchChunk({ after: state.last, traceback: state.traceback });
    noteScrolling();
    if (chunk.dataset.later === "yes" && state.follow) {
      await loadEnd(); // too much to run after: go to where the output is now
      return;
    }
    takeLater(chunk);
  });
}

function takeLater(chunk) {
  const added = append(chunk);
  state.last = chunk.dataset.last;
  state.later = chunk.dataset.later === "yes";
  state.traceback = chunk.dataset.traceback;
  showCounts();
  if (state.follow) {
    trimTop();
    toEnd();
  } else {
    state.waiting += added;
    if (lines.childElementCount > LINES_KEPT) trimBottom();
    showWaiting();
  }
  drawMap(part("map"), scroll, lines);
}

async function loadEnd() {
  takeWhole(await fetchChunk({}));
  drawMap(part("map"), scroll, lines);
  showCounts();
  toEnd();
}

/** Show the lines of `chunk` instead of all others. */
function takeWhole(chunk) {
  lines.replaceChildren();
  state.unended = {};
  state.cutOff.clear();
  const arrived = [...chunk.children];
  lines.append(...arrived);
  for (const line of arrived) search.refresh(line);
  rememberUnended();
  state.first = chunk.dataset.first;
  state.last = chunk.dataset.last;
  state.later = false;
  state.traceback = chunk.dataset.traceback;
  setEarlier(chunk.dataset.earlier === "yes");
}

function loadEarlier() {
  return alone(async () => {
    if (!state.earlier) return;
    const chunk = await fetchChunk({ before: state.first });
    const below = scroll.scrollHeight - scroll.scrollTop;
    state.first = chunk.dataset.first;
    setEarlier(chunk.dataset.earlier === "yes");
    prepend(chunk);
    scroll.scrollTop = scroll.scrollHeight - below; // what the reader looks at stays where it is
    trimBottom();
    drawMap(part("map"), scroll, lines);
    showCounts();
  });
}

/** Progress bars fold to few lines, a filter hides many: fetch until there is something to scroll. */
async function fill() {
  for (let round = 0; round < 5 && state.earlier && scroll.scrollHeight <= scroll.clientHeight * 2; round++) {
    if (!(await loadEarlier())) return;
  }
  noteScrolling();
  if (state.follow) toEnd();
}

function loadLater() {
  return alone(async () => {
    const chunk = await fetchChunk({ after: state.last, traceback: state.traceback });
    const waiting = state.waiting;
    takeLater(chunk);
    state.waiting = state.later ? waiting : 0; // what is fetched while one scrolls down was there before
    const top = scroll.scrollTop;
    const height = scroll.scrollHeight;
    trimTop();
    scroll.scrollTop = top - (height - scroll.scrollHeight);
    showWaiting();
  });
}

// ---- following

function atEnd() {
  return scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight <= NEAR_END_PIXELS;
}

function toEnd() {
  scroll.scrollTop = scroll.scrollHeight;
  lastTop = scroll.scrollTop;
}

function setFollow(follow) {
  if (state.follow === follow) return;
  state.follow = follow;
  followSwitch.setAttribute("aria-checked", String(follow));
  state.waiting = 0;
  showWaiting();
}

function showWaiting() {
  newLines.hidden = state.follow || state.waiting === 0;
  newLines.textContent = `${state.waiting.toLocaleString("en")} new ${state.waiting === 1 ? "line" : "lines"}`;
}

async function followNow() {
  setFollow(true);
  if (state.later && !(await alone(loadEnd))) state.again = true;
  toEnd();
}

let lastTop = 0;

/** Follow while the reader is at the end. Also asked before lines arrive: a scroll's event comes a frame after it. */
function noteScrolling() {
  const top = scroll.scrollTop;
  if (top < lastTop - 2 && !atEnd()) setFollow(false);
  else if (top > lastTop && atEnd() && !state.later) setFollow(true);
  lastTop = top;
}

scroll.addEventListener("scroll", () => {
  noteScrolling();
  loadNear();
});

/** Fetch what lies beyond the edge that the reader is near. */
function loadNear() {
  const below = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight;
  if (scroll.scrollTop < 800 && state.earlier && !state.follow) void loadEarlier();
  else if (state.later && !state.follow && below < 400) void loadLater();
}

followSwitch.addEventListener("click", () => (state.follow ? setFollow(false) : void followNow()));
newLines.addEventListener("click", () => void followNow());
root.querySelector('[data-edge="earlier"] a').addEventListener("click", (event) => {
  event.preventDefault();
  void loadEarlier();
});
document.addEventListener("cloister:run-changed", (event) => {
  if (String(event.detail?.run_id) === root.dataset.run) void update();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && part("status").dataset.live === "yes") void update();
});

// ---- switches

function remembered(name, otherwise) {
  try {
    return localStorage.getItem(`console.${name}`) ?? otherwise;
  } catch {
    return otherwise; // storage may be forbidden
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`console.${name}`, value);
  } catch {
    // then the choice holds for this page
  }
}

function bindToggle(name, otherwise) {
  const button = part(name);
  if (!button) return; // Sacred kept no times
  const apply = (on) => {
    const end = state.follow;
    root.dataset[`with${name[0].toUpperCase()}${name.slice(1)}`] = on ? "yes" : "no";
    button.setAttribute("aria-pressed", String(on));
    if (end) toEnd();
    drawMap(part("map"), scroll, lines);
  };
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    remember(name, on ? "yes" : "no");
    apply(on);
  });
  apply(remembered(name, otherwise ? "yes" : "no") === "yes");
}

function showStream(show) {
  root.dataset.show = show;
  for (const button of part("streams").children) button.setAttribute("aria-pressed", String(button.dataset.show === show));
  void fill();
  search.run();
  if (state.follow) toEnd();
  drawMap(part("map"), scroll, lines);
}

function showCounts() {
  const ending = part("ending");
  ending.hidden = state.later || ending.childElementCount === 0;
  part("nothing").hidden = lines.childElementCount > 0 || !ending.hidden;
  const count = lines.querySelectorAll(".is-stderr").length;
  part("stderr-count").textContent = count ? count.toLocaleString("en") : "";
}

part("streams").addEventListener("click", (event) => {
  const button = event.target.closest("[data-show]");
  if (button) showStream(button.dataset.show);
});

// ---- search

const searchField = part("console-search");
let searchTimer = 0;

function showHits() {
  part("hits").textContent = search.summary();
  searchField.setAttribute("aria-invalid", String(search.broken));
}

function step(by) {
  searching += 1; // ends one that is under way
  const hit = search.step(by);
  if (hit) showHit(hit);
  else if (search.pattern) {
    const beyond = by || (state.earlier ? -1 : 1);
    if (hasMore(beyond)) {
      void findBeyond(beyond);
      return;
    }
  }
  showHits();
}

function showHit(hit) {
  setFollow(false);
  const place = hit.getBoundingClientRect().top - scroll.getBoundingClientRect().top;
  scroll.scrollTop += place - scroll.clientHeight / 2; // scrollIntoView would move the whole page too
  scroll.scrollLeft = Math.max(0, hit.offsetLeft + hit.offsetWidth - scroll.clientWidth + 40);
  lastTop = scroll.scrollTop;
}

let searching = 0;

/** Look for the next hit in what is not loaded; the server goes through a long console in several answers. */
async function findBeyond(by) {
  const mine = ++searching;
  const wanted = { q: searchField.value, pattern: part("pattern").getAttribute("aria-pressed") === "true" ? "yes" : "no" };
  if (root.dataset.show !== "all") wanted.stream = root.dataset.show;
  let cursor = by < 0 ? state.first : state.last;
  let [skipped, scanned] = [0, 0];
  while (cursor !== null) {
    part("hits").textContent = scanned ? `searched ${sizeWords(scanned)}` : "searching";
    let found;
    try {
      const response = await fetch(`${root.dataset.searchUrl}?${new URLSearchParams({ ...wanted, [by < 0 ? "before" : "after"]: cursor })}`);
      if (!response.ok) throw new Error();
      found = await response.json();
    } catch {
      if (mine === searching) part("hits").textContent = "not searched";
      return;
    }
    if (mine !== searching) return; // something else is looked for by now
    skipped += found.skipped_lines;
    scanned += found.scanned_bytes;
    if (found.cursor !== null) {
      while (state.busy) await new Promise((done) => setTimeout(done, 50));
      if (mine === searching) await alone(() => jump(by, found.cursor, skipped));
      return;
    }
    cursor = found.next;
  }
  part("hits").textContent = search.hits().length ? `none ${by < 0 ? "earlier" : "later"}` : "none";
}

/** Show the lines up to the piece at `cursor`, `skipped` lines before or after those that are loaded. */
async function jump(by, cursor, skipped) {
  const [low, high] = [numberOf(lines.firstElementChild), numberOf(lines.lastElementChild)];
  setFollow(false);
  takeWhole(await fetchChunk({ before: String(Number(cursor) + 1) }));
  state.later = true;
  const begins = lines.querySelector(`[data-cursor="${CSS.escape(cursor)}"]`) ?? lines.lastElementChild;
  const place = by < 0 ? lines.childElementCount - 1 : [...lines.children].indexOf(begins);
  renumber(Math.max(1, (by < 0 ? low - 1 - skipped : high + 1 + skipped) - place));
  const hits = search.hits();
  const hit = by < 0 ? hits.at(-1) : (hits.find((each) => !(begins.compareDocumentPosition(each) & Node.DOCUMENT_POSITION_PRECEDING)) ?? hits.at(-1));
  if (hit) showHit(search.select(hit));
  drawMap(part("map"), scroll, lines);
  showCounts();
  showHits();
}

function sizeWords(characters) {
  const mebi = characters / (1 << 20);
  return mebi < 1024 ? `${mebi.toFixed(0)} MiB` : `${(mebi / 1024).toFixed(1)} GiB`;
}

searchField.addEventListener("input", () => {
  clearTimeout(searchTimer);
  searching += 1;
  searchTimer = setTimeout(() => {
    search.find(searchField.value, part("pattern").getAttribute("aria-pressed") === "true");
    step(0);
  }, 200);
});
searchField.addEventListener("keydown", (event) => {
  if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
  if (event.key === "Escape") {
    searchField.value = "";
    search.find("", false);
    showHits();
    scroll.focus();
  }
});
for (const button of root.querySelectorAll("[data-hit-step]")) {
  button.addEventListener("click", () => step(Number(button.dataset.hitStep)));
}
part("pattern").addEventListener("click", (event) => {
  const on = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(on));
  search.find(searchField.value, on);
  step(0);
});
search.onChange = showHits;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, dialog")) return;
  if (event.key === "n" || event.key === "N") step(event.key === "N" ? -1 : 1);
  else if (event.key === "End") void followNow();
  else return;
  event.preventDefault();
});

// ---- the clock in the status line

function age(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return null; // the server's words are good enough for what changes so slowly
}

setInterval(() => {
  const shown = root.querySelector("[data-last-time]");
  const words = shown && age(Date.now() / 1000 - Number(shown.dataset.lastTime));
  if (words) shown.textContent = words;
}, 1000);

// ---- start

const phone = matchMedia("(max-width: 640px)").matches;
for (const hidden of root.querySelectorAll(".console-tools [hidden]")) hidden.hidden = false;
bindToggle("times", !phone);
bindToggle("wrap", phone);
rememberUnended();
showCounts();
followSwitch.hidden = part("status").dataset.live !== "yes";
if (state.later) setFollow(false);
else toEnd();
void fill();
drawMap(part("map"), scroll, lines);
addEventListener("resize", () => drawMap(part("map"), scroll, lines));
