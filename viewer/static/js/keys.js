// The keyboard on every page: / searches, j and k walk rows, Enter opens, x chooses, ? lists the keys.
import { root } from "./addresses.js";
import { openDialog } from "./dialogs.js";

const CURRENT = "is-current";

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (document.querySelector("dialog[open]")) return;
  const act = ACTIONS[event.key];
  if (act && act(event) !== false) event.preventDefault();
});

const ACTIONS = {
  "/": () => focusSearch(),
  "?": () => openDialog("keys-dialog"),
  j: () => step(1),
  k: () => step(-1),
  x: () => clickFirst(currentRow(), "[data-eye]", "input[type=checkbox]"),
  s: () => clickFirst(currentRow(), "[data-select]", "input[type=checkbox]"),
  Enter: (event) => (opensItself(event.target) ? false : clickFirst(currentRow(), "[data-open]", "a[href]")),
  c: () => compare(),
  f: () => clickFirst(document.querySelector(".chart-card:hover") ?? document, "[data-chart-action=full]"),
  "[": () => changeTab(-1),
  "]": () => changeTab(1),
  Escape: () => leaveRow(),
};

function isTyping(target) {
  const fields = "input:not([type=checkbox], [type=radio], [type=button], [type=submit]), textarea, select";
  return target instanceof HTMLElement && (target.isContentEditable || target.matches(fields));
}

function opensItself(target) {
  return target instanceof Element && target.closest("a, button, summary, [role=button]") !== null;
}

function focusSearch() {
  // A page's own field first, then the one in the bar.
  const fields = ["main [data-search]", "[data-search]"].flatMap((selector) => [...document.querySelectorAll(selector)]);
  const field = fields.find((candidate) => candidate.offsetParent);
  if (!field) return clickFirst(document, ".top-tools a[href*='/search']");
  field.focus();
  field.select();
  return true;
}

// The rows that a page marks; on any other page those of its tables, and what else lists things that can be opened.
function rows() {
  const marked = [...document.querySelectorAll("[data-rows] tbody tr, [data-row]")];
  const all = marked.length ? marked : [...document.querySelectorAll("main tbody tr, main .menu-row, main li")];
  return all.filter((row) => row.offsetParent && (marked.length || row.querySelector("a[href]") || row.matches("a[href]")));
}

function currentRow() {
  return document.querySelector(`:is(tr, li, .menu-row, [data-row]).${CURRENT}`);
}

function step(distance) {
  const all = rows();
  if (!all.length) return false;
  const now = all.indexOf(currentRow());
  const next = all[now < 0 ? (distance > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + distance))];
  leaveRow();
  next.classList.add(CURRENT);
  next.scrollIntoView({ block: "nearest" });
  // Focus goes along, so that a screen reader says where we are and Tab goes on from there.
  const opener = next.querySelector("[data-open]") ?? (next.matches("a[href]") ? next : next.querySelector("a[href]"));
  opener?.focus({ preventScroll: true, focusVisible: false });
  return true;
}

function leaveRow() {
  const row = currentRow();
  row?.classList.remove(CURRENT);
  return row !== null;
}

// The first of these within `place`; of several selectors the one that stands first.
function clickFirst(place, ...selectors) {
  const target = selectors.map((selector) => place?.querySelector(selector)).find((found) => found);
  if (!target) return false;
  target.click();
  return true;
}

// The selected runs, else those that are drawn, else this page's run or the current row's.
function compare() {
  const button = document.querySelector("#bulk-bar:not([hidden]) [data-bulk=compare]");
  if (button) return clickFirst(button.parentElement, "[data-bulk=compare]");
  const drawn = (document.getElementById("runs-table")?.dataset.drawn ?? "").split(",").filter((word) => word && word !== "none");
  const row = currentRow()?.dataset.runRow ?? document.body.dataset.run;
  const runs = drawn.length > 1 ? drawn : row ? [row] : drawn;
  if (!runs.length) return false;
  location.assign(`${root}/compare?${new URLSearchParams({ runs: runs.join(",") })}`);
  return true;
}

function changeTab(distance) {
  const tabs = [...document.querySelectorAll(".tabs a")];
  const now = tabs.findIndex((tab) => tab.hasAttribute("aria-current") || tab.getAttribute("aria-selected") === "true");
  const next = tabs[now + distance];
  if (now < 0 || !next) return false;
  next.click();
  next.focus();
  return true;
}
