// The columns of the table: the menu of a header, its handle, and dragging it, or a row of the dialog's list.
import { icon } from "../dialogs.js";
import { addressWith, columnWidths, goTo, joinKeys, pinnedColumns, shownColumns, sortKeys } from "./state.js";

const NARROWEST = 40;
const STEP = 24; // px by which a menu makes a column wider or narrower
const FIGURE_WORDS = { last: "Last value", best: "Best value", min: "Lowest", max: "Highest", count: "Points" };

const headerOf = (element) => element.closest("th[data-column]");

// ---- the menu of a header

let open = null; // {panel, button}

function closeMenu({ focus = false } = {}) {
  if (!open) return;
  open.panel.remove();
  open.button.setAttribute("aria-expanded", "false");
  if (focus) open.button.focus();
  open = null;
}

function openMenu(button) {
  const header = headerOf(button);
  const panel = document.createElement("div");
  panel.className = "menu-panel header-menu-panel";
  panel.setAttribute("role", "menu");
  panel.setAttribute("aria-label", button.getAttribute("aria-label"));
  for (const entry of menuEntries(header)) panel.append(entry === null ? rule() : menuRow(entry));
  document.body.append(panel);
  const place = button.getBoundingClientRect();
  panel.style.top = `${Math.min(place.bottom + 4, innerHeight - panel.offsetHeight - 8)}px`;
  panel.style.left = `${Math.max(8, Math.min(place.right - panel.offsetWidth, innerWidth - panel.offsetWidth - 8))}px`;
  open = { panel, button };
  button.setAttribute("aria-expanded", "true");
  panel.querySelector("button").focus();
}

function rule() {
  const line = document.createElement("hr");
  line.className = "menu-rule";
  return line;
}

function menuRow({ words, symbol, run, on = false }) {
  const row = document.createElement("button");
  row.type = "button";
  row.className = "menu-row";
  row.setAttribute("role", on === null ? "menuitem" : "menuitemradio");
  if (on !== null) row.setAttribute("aria-checked", String(on));
  if (on) row.setAttribute("aria-current", "true");
  if (symbol) row.append(icon(symbol));
  row.append(words);
  row.addEventListener("click", () => {
    closeMenu();
    run();
  });
  return row;
}

function menuEntries(header) {
  const key = header.dataset.column;
  const isName = key === "name";
  const canSort = header.querySelector("[data-sort-key]") !== null;
  const pinned = pinnedColumns().includes(key);
  const place = shownColumns().indexOf(key);
  const act = (words, symbol, run) => ({ words, symbol, run, on: null });
  const sorts = canSort
    ? [
        act("Sort ascending", "arrow-up", () => sortBy([key])),
        act("Sort descending", "arrow-down", () => sortBy([`-${key}`])),
        act("Sort by it, too", "sort", () => sortBy([...sortKeys().filter((each) => each !== "-started" && each.replace(/^-/, "") !== key), `-${key}`])),
      ]
    : [];
  const figures = header.dataset.figures ? JSON.parse(header.dataset.figures) : null;
  const values = figures
    ? [null, ...Object.keys(FIGURE_WORDS).filter((figure) => figure in figures).map((figure) => ({ words: FIGURE_WORDS[figure], run: () => replaceColumn(key, figures[figure]), on: figure === header.dataset.figure }))]
    : [];
  const widths = [null, act("Wider", "plus", () => resize(key, widthOf(header) + STEP)), act("Narrower", "minus", () => resize(key, widthOf(header) - STEP))];
  if (columnWidths().has(key)) widths.push(act("Width as it comes", "refresh", () => resize(key, null)));
  if (isName) return [...sorts, ...widths];
  return [
    ...sorts,
    ...values,
    null,
    ...("groupable" in header.dataset ? [act("Group by it", "list", () => groupBy(key))] : []),
    act(pinned ? "Let it scroll" : "Keep in sight", "lock", () => pin(key, !pinned)),
    ...(place > 0 ? [act("Move left", "chevron-left", () => move(key, place - 1))] : []),
    ...(place < shownColumns().length - 1 ? [act("Move right", "chevron-right", () => move(key, place + 1))] : []),
    act("Hide", "close", () => hide(key)),
    ...widths,
  ];
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-header-menu]") : null;
  const wasOpen = open?.button === button;
  closeMenu();
  if (button && !wasOpen) openMenu(button);
});
document.addEventListener("contextmenu", (event) => {
  const header = event.target instanceof Element ? headerOf(event.target) : null;
  if (!header) return;
  event.preventDefault();
  closeMenu();
  openMenu(header.querySelector("[data-header-menu]"));
});
document.addEventListener("keydown", (event) => {
  if (!open) return;
  if (event.key === "Escape" || event.key === "Tab") closeMenu({ focus: true });
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") walk(event.key === "ArrowDown" ? 1 : -1);
  else return;
  event.preventDefault();
  event.stopPropagation();
}, true);
document.addEventListener("scroll", () => closeMenu(), true);

function walk(distance) {
  const rows = [...open.panel.querySelectorAll("button")];
  rows[(rows.indexOf(document.activeElement) + distance + rows.length) % rows.length].focus();
}

// ---- what can be done with a column

const sortBy = (keys) => goTo(addressWith({ sort: joinKeys(keys.slice(-5)) }));
const show = (keys) => addressWith({ columns: joinKeys(keys), differing: null });
const hide = (key) => goTo(show(shownColumns().filter((each) => each !== key)));
const replaceColumn = (key, other) => goTo(show([...new Set(shownColumns().map((each) => (each === key ? other : each)))]));

function groupBy(key) {
  const now = (new URLSearchParams(new URL(document.getElementById("runs-table").dataset.address, location.href).search).get("group") ?? "").split(",").filter(Boolean);
  goTo(addressWith({ group: [...now, joinKeys([key])].slice(-3).join(","), open: null }));
}

function pin(key, wanted) {
  const rest = pinnedColumns().filter((each) => each !== key);
  goTo(addressWith({ pin: joinKeys(wanted ? [...rest, key] : rest) }));
}

function move(key, place) {
  const keys = shownColumns().filter((each) => each !== key);
  keys.splice(place, 0, key);
  goTo(show(keys));
}

function resize(key, width) {
  const widths = columnWidths();
  if (width === null) widths.delete(key);
  else widths.set(key, Math.max(NARROWEST, Math.round(width)));
  goTo(addressWith({ width: joinKeys([...widths].map(([name, pixels]) => `${pixels}:${name}`)) }), { replace: true });
}

const widthOf = (header) => header.getBoundingClientRect().width;

// ---- the handle at a header's right edge

document.addEventListener("pointerdown", (event) => {
  const handle = event.target instanceof Element ? event.target.closest("[data-header-handle]") : null;
  if (!handle || event.button !== 0) return;
  event.preventDefault();
  const header = headerOf(handle);
  const table = header.closest("table");
  const column = table.querySelectorAll("col")[header.cellIndex];
  const start = { x: event.clientX, width: widthOf(header) };
  let width = start.width;
  handle.setPointerCapture(event.pointerId);
  const follow = (moved) => {
    width = Math.max(NARROWEST, start.width + moved.clientX - start.x);
    if (header.dataset.column === "name") table.style.setProperty("--name-width", `${width}px`);
    else column.style.width = `${width}px`;
  };
  handle.addEventListener("pointermove", follow);
  handle.addEventListener("lostpointercapture", () => {
    handle.removeEventListener("pointermove", follow);
    if (width !== start.width) resize(header.dataset.column, width);
  }, { once: true });
});
document.addEventListener("dblclick", (event) => {
  const handle = event.target instanceof Element ? event.target.closest("[data-header-handle]") : null;
  if (handle) resize(headerOf(handle).dataset.column, null);
});

// ---- dragging a header, or a row of the dialog's list

let dragged = null;

document.addEventListener("dragstart", (event) => {
  const item = event.target instanceof Element ? event.target.closest("th[draggable], li[draggable]") : null;
  if (!item) return;
  dragged = item;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", item.dataset.title ?? "");
});
document.addEventListener("dragover", (event) => {
  const over = dropTarget(event);
  clearMarks();
  if (!over) return;
  event.preventDefault();
  over.element.classList.add(over.after ? "drop-after" : "drop-before");
});
document.addEventListener("drop", (event) => {
  const over = dropTarget(event);
  clearMarks();
  if (!over) return;
  event.preventDefault();
  if (dragged.localName === "li") {
    if (over.after) over.element.after(dragged);
    else over.element.before(dragged);
    return;
  }
  const keys = shownColumns().filter((key) => key !== dragged.dataset.column);
  keys.splice(keys.indexOf(over.element.dataset.column) + (over.after ? 1 : 0), 0, dragged.dataset.column);
  goTo(show(keys));
});
document.addEventListener("dragend", () => {
  dragged = null;
  clearMarks();
});

function dropTarget(event) {
  const selector = dragged?.localName === "li" ? "li[data-shown-column]" : "th[draggable]";
  const element = dragged && event.target instanceof Element ? event.target.closest(selector) : null;
  if (!element || element === dragged) return null;
  const place = element.getBoundingClientRect();
  const after = dragged.localName === "li" ? event.clientY > place.top + place.height / 2 : event.clientX > place.left + place.width / 2;
  return { element, after };
}

function clearMarks() {
  for (const marked of document.querySelectorAll(".drop-after, .drop-before")) marked.classList.remove("drop-after", "drop-before");
}

// ---- shift and a click on a header: sorted by it, too

document.addEventListener("click", (event) => {
  const link = event.shiftKey && event.target instanceof Element ? event.target.closest("[data-sort-key]") : null;
  if (!link) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  const key = link.dataset.sortKey;
  const rest = sortKeys().filter((each) => each.replace(/^-/, "") !== key);
  const now = sortKeys().find((each) => each.replace(/^-/, "") === key);
  sortBy([...rest, now === `-${key}` ? key : `-${key}`]);
}, true);
