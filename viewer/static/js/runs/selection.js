// Rows that are selected, and what is done with all of them at once.
import { root } from "../addresses.js";
import { callApi } from "../api_client.js";
import { showToast } from "../dialogs.js";
import { goTo, parameters, addressWith, reload, tableElement } from "./state.js";

const AT_ONCE = 200; // runs in a request
const MOST = 10000; // runs that are changed at once from here
const MOST_COMPARED = 50;
const MOST_DRAWN = 36;
const MOST_EXPORTED = 1000;

const selected = new Set(); // run keys as the page has them
let last = null; // the row that was clicked last, for a range

const boxes = () => [...document.querySelectorAll("[data-select]")];
const bar = () => document.getElementById("bulk-bar");

document.addEventListener("click", (event) => {
  const box = event.target instanceof Element ? event.target.closest("[data-select]") : null;
  if (!box) return;
  const all = boxes();
  const [from, to] = [all.findIndex((each) => each.dataset.select === last), all.indexOf(box)];
  const range = event.shiftKey && from >= 0 ? all.slice(Math.min(from, to), Math.max(from, to) + 1) : [box];
  for (const each of range) choose(each.dataset.select, box.checked);
  last = box.dataset.select;
  sync();
});

function choose(key, wanted) {
  if (wanted) selected.add(key);
  else selected.delete(key);
}

// Rows come and go with pages and live updates; what was selected stays so.
export function sync() {
  for (const box of boxes()) box.checked = selected.has(box.dataset.select);
  const element = bar();
  element.hidden = selected.size === 0;
  if (element.hidden) return;
  element.querySelector("[data-bulk-count]").textContent = `${selected.size.toLocaleString("en")} selected`;
  const total = Number(tableElement().dataset.total);
  const all = element.querySelector("[data-bulk-all]");
  all.hidden = total <= selected.size || total > MOST;
  all.textContent = `Select all ${total.toLocaleString("en")}`;
}

function clear() {
  selected.clear();
  last = null;
  sync();
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && selected.size && !document.querySelector("dialog[open]") && event.target === document.body) clear();
});

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-bulk]") : null;
  if (button) ACTIONS[button.dataset.bulk]();
  if (event.target instanceof Element && event.target.closest("[data-bulk-all]")) selectAll();
});

async function selectAll() {
  const button = bar().querySelector("[data-bulk-all]");
  button.disabled = true;
  try {
    for (let after = null, first = true; first || after; first = false) {
      const query = parameters();
      for (const name of ["page", "open", "group"]) query.delete(name);
      const project = document.body.dataset.project;
      if (project) query.set("project", project);
      if (after) query.set("after", after);
      const answer = await fetch(`${root}/runs/keys?${query}`, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`The viewer answered with ${answer.status}.`);
      const found = await answer.json();
      for (const key of found.keys) selected.add(String(key));
      after = found.next;
    }
  } catch (error) {
    showToast(error.message, { kind: "failed" });
  }
  button.disabled = false;
  sync();
}

function nameOf(key) {
  return document.querySelector(`[data-run-row="${CSS.escape(key)}"]`)?.dataset.name ?? `run ${key}`;
}

// "cnn-small", or "12 runs": confirmations name what they change.
function what() {
  const keys = [...selected];
  return keys.length === 1 ? nameOf(keys[0]) : `${keys.length.toLocaleString("en")} runs`;
}

const QUESTIONS = {
  tag: {
    title: () => `Tag ${what()}?`,
    words: "The tags are added to those that the runs have. Begin one with - to take it away: baseline, -old.",
    label: "Tags, separated by commas",
    go: "Tag",
    requests: (value) => {
      const words = value.split(",").map((word) => word.trim()).filter(Boolean);
      const [gone, added] = [words.filter((word) => word.startsWith("-")).map((word) => word.slice(1).trim()), words.filter((word) => !word.startsWith("-"))];
      return [...(added.length ? [{ action: "add-tags", tags: added }] : []), ...(gone.length ? [{ action: "remove-tags", tags: gone }] : [])];
    },
    done: (count) => `Tagged ${count}`,
  },
  move: {
    title: () => `Move ${what()} to another project?`,
    words: "Everything that was recorded moves along. A project that does not exist yet is made.",
    label: "Project",
    go: "Move",
    requests: (value) => [{ action: "move", project: value.trim() }],
    done: (count) => `Moved ${count}`,
  },
  archive: { go: "Archive", requests: () => [{ action: "archive" }], done: (count) => `Archived ${count}`, undo: [{ action: "unarchive" }] },
  unarchive: { go: "Unarchive", requests: () => [{ action: "unarchive" }], done: (count) => `${count} in the list again`, undo: [{ action: "archive" }] },
  stop: {
    title: () => `Stop ${what()}?`,
    words: "Each training is interrupted as by Ctrl-C and ends cleanly. Runs that have ended stay as they are. What was recorded stays.",
    keep: "Keep running",
    go: "Stop",
    danger: true,
    requests: () => [{ action: "stop" }],
    done: (count) => `Asked ${count} to stop`,
  },
  trash: {
    title: () => `Delete ${what()}?`,
    words: "They go to the trash and can be brought back from there until they are purged.",
    keep: "Keep",
    go: "Delete",
    danger: true,
    requests: () => [{ action: "trash" }],
    done: (count) => `Moved ${count} to the trash`,
    undo: [{ action: "restore" }],
  },
};

const ACTIONS = {
  clear,
  draw: () => goTo(addressWith({ draw: [...selected].slice(0, MOST_DRAWN).join(",") }), { replace: true }),
  compare: () => location.assign(`${root}/compare?runs=${encodeURIComponent([...selected].slice(0, MOST_COMPARED).join(",")).replaceAll("%2C", ",")}`),
  export: () => location.assign(exportAddress()),
  tag: () => ask("tag"),
  move: () => ask("move"),
  stop: () => ask("stop"),
  trash: () => ask("trash"),
  archive: () => act("archive", ""), // nothing is lost by it, and the toast has Undo
  unarchive: () => act("unarchive", ""),
};

function exportAddress() {
  const query = parameters();
  for (const name of ["page", "open", "draw", "view"]) query.delete(name);
  if (document.body.dataset.project) query.set("project", document.body.dataset.project);
  query.set("runs", [...selected].slice(0, MOST_EXPORTED).join(","));
  return `${root}/export/runs.csv?${query}`;
}

const dialog = document.getElementById("bulk-dialog");

function ask(name) {
  const question = QUESTIONS[name];
  const find = (part) => dialog.querySelector(`[data-bulk-${part}]`);
  find("title").textContent = question.title();
  find("words").textContent = question.words;
  find("field").hidden = !question.label;
  find("label").textContent = question.label ?? "";
  find("field").querySelector("input").value = "";
  find("field").querySelector("input").required = Boolean(question.label);
  find("keep").textContent = question.keep ?? "Cancel";
  find("go").textContent = question.go;
  find("go").className = `button ${question.danger ? "button-danger" : "button-primary"}`;
  dialog.dataset.action = name;
  dialog.showModal();
  if (question.label) find("field").querySelector("input").focus();
  else find("keep").focus();
}

dialog.addEventListener("submit", (event) => {
  event.preventDefault();
  dialog.close();
  act(dialog.dataset.action, dialog.querySelector("[data-bulk-field] input").value);
});

async function act(name, value) {
  const question = QUESTIONS[name];
  const keys = [...selected];
  try {
    const { changed, refused } = await send(question.requests(value), keys);
    const words = question.done(`${changed.length.toLocaleString("en")} ${changed.length === 1 ? "run" : "runs"}`);
    const undo = question.undo && changed.length ? { label: "Undo", run: () => send(question.undo, changed).then(reload) } : null;
    if (changed.length || !refused.length) showToast(words, { action: undo });
    if (refused.length) showToast(refusal(refused), { kind: "failed" });
    if (name !== "tag") clear();
  } catch (error) {
    showToast(error.message, { kind: "failed" });
  }
  reload();
}

function refusal(refused) {
  const first = refused[0].detail;
  return refused.length === 1 ? first : `${refused.length.toLocaleString("en")} runs were left as they are. ${first}`;
}

async function send(requests, keys) {
  const changed = new Set();
  const refused = [];
  for (const request of requests) {
    for (let place = 0; place < keys.length; place += AT_ONCE) {
      const answer = await callApi("POST", "/runs/actions", { ...request, runs: keys.slice(place, place + AT_ONCE) });
      for (const outcome of answer.outcomes) {
        if (outcome.changed) changed.add(String(outcome.run));
        if (outcome.status >= 400) refused.push(outcome);
      }
    }
  }
  return { changed: [...changed], refused };
}
