// The bar for queries: paints what is typed, asks for the runs once it can be read, and says where it cannot.
import { tableElement } from "./state.js";
import { wordsOf } from "./query_words.js";
import { completeWith } from "./completion.js";

const ASK_MS = 350; // after the last key

const bar = document.querySelector("[data-query-bar]");
const form = document.getElementById("runs-filter");
const field = document.getElementById("filter");
const paint = bar.querySelector("[data-query-paint]");
const found = bar.querySelector("[data-query-found]");
const error = bar.querySelector("[data-query-error]");
const fix = bar.querySelector("[data-query-fix]");

let wrong = null; // {query, column, length, message, suggestion}: what the server said of this text
let asking = 0;

function paintWords() {
  const text = field.value;
  const isQuery = wordsOf(text).some((word) => word.kind === "operator");
  paint.replaceChildren(
    ...wordsOf(text).map((word) => {
      const span = document.createElement("span");
      span.className = isQuery ? `word-${word.kind}` : "word-plain";
      span.textContent = word.text;
      if (wrong?.query === text.trim() && overlaps(word, text)) span.classList.add("is-wrong");
      return span;
    }),
  );
  follow();
}

function overlaps(word, text) {
  const start = wrong.column + (text.length - text.trimStart().length);
  return word.kind !== "space" && word.start < start + Math.max(1, wrong.length) && word.start + word.text.length > start;
}

// The paint and the carets stand where the field has scrolled to.
function follow() {
  paint.scrollLeft = field.scrollLeft;
  error.style.setProperty("--query-scroll", `${-field.scrollLeft}px`);
}

function showError(problem) {
  wrong = problem;
  bar.classList.toggle("has-error", problem !== null);
  error.hidden = problem === null;
  if (problem === null) field.removeAttribute("aria-invalid");
  else {
    field.setAttribute("aria-invalid", "true");
    const indent = field.value.length - field.value.trimStart().length;
    error.querySelector("[data-query-carets]").textContent = " ".repeat(problem.column + indent) + "^".repeat(Math.max(1, problem.length));
    const hint = problem.suggestion ? ` Did you mean ${problem.suggestion}?` : "";
    error.querySelector("[data-query-message]").textContent = `Column ${problem.column + 1}: ${problem.message}${hint}`;
    fix.hidden = !problem.suggestion;
  }
  paintWords();
}

function ask() {
  clearTimeout(asking);
  window.htmx.trigger(form, "submit");
}

field.addEventListener("input", () => {
  // Half of a query is none: what is wrong is said again once somebody has stopped typing.
  showError(null);
  clearTimeout(asking);
  asking = setTimeout(ask, ASK_MS);
});
field.addEventListener("scroll", follow);
field.addEventListener("keyup", follow);
field.addEventListener("blur", () => setTimeout(follow));
form.addEventListener("submit", () => clearTimeout(asking));

document.addEventListener("cloister:query-error", (event) => {
  if (event.detail.query === field.value.trim()) showError(event.detail);
});

fix.addEventListener("click", () => {
  const start = wrong.column + (field.value.length - field.value.trimStart().length);
  field.value = field.value.slice(0, start) + wrong.suggestion + field.value.slice(start + wrong.length);
  field.focus();
  showError(null);
  ask();
});

// "Clear the filter" stands in the table, the field above it; a link changes what is looked for, too.
export function syncQuery() {
  const text = tableElement().dataset.text;
  if (field !== document.activeElement && wrong === null) field.value = text;
  found.textContent = text ? tableElement().dataset.found : "";
  paintWords();
}

completeWith(field, bar.querySelector("[data-query-choices]"), { project: bar.dataset.queryProject ?? null, taken: () => field.dispatchEvent(new Event("input", { bubbles: true })) });

if (!error.hidden) {
  const message = error.querySelector("[data-query-message]").textContent;
  const carets = error.querySelector("[data-query-carets]").textContent;
  wrong = { query: field.value.trim(), column: carets.indexOf("^"), length: carets.trim().length, message, suggestion: "" };
}
paintWords();
