// The keyboard: / searches, j and k walk rows, Enter opens, x draws, ? lists the keys.
import { openDialog } from "./dialogs.js";

const CURRENT = "is-current";

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
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
  x: () => clickIn("[data-eye]"),
  Enter: (event) => (event.target instanceof Element && event.target.closest("a, button, summary") ? false : clickIn("[data-open]")),
  Escape: () => currentRow()?.classList.remove(CURRENT),
};

function isTyping(target) {
  return target instanceof HTMLElement && (target.isContentEditable || target.matches("input:not([type=checkbox]), textarea, select"));
}

function focusSearch() {
  const field = [...document.querySelectorAll("[data-search]")].find((candidate) => candidate.offsetParent);
  if (!field) return false;
  field.focus();
  field.select();
  return true;
}

function rows() {
  return [...document.querySelectorAll("[data-rows] tbody tr")];
}

function currentRow() {
  return document.querySelector(`[data-rows] tbody tr.${CURRENT}`);
}

function step(distance) {
  const all = rows();
  if (!all.length) return false;
  const now = all.indexOf(currentRow());
  const next = all[now < 0 ? (distance > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, now + distance))];
  currentRow()?.classList.remove(CURRENT);
  next.classList.add(CURRENT);
  next.scrollIntoView({ block: "nearest" });
  // Focus goes along, so that a screen reader says where we are and Tab goes on from there.
  next.querySelector("[data-open]")?.focus({ preventScroll: true, focusVisible: false });
  return true;
}

function clickIn(selector) {
  const target = currentRow()?.querySelector(selector);
  if (!target) return false;
  target.click();
  return true;
}
