// Where charts stand: pinned, hidden, in which order, how large. Kept in the layout, done with pointer and keyboard alike.
import { describeExpression } from "./expressions.js";

export const PINNED = "Pinned";
export const EXPRESSIONS = "Expressions";
const LEAST_HEIGHT = 120;
const MOST_HEIGHT = 900;
const HEIGHT_STEP = 60;
const MOST_WIDTH = 6;

export class Arrangement {
  constructor(grid) {
    this.grid = grid;
    this.home = new Map(grid.entries().map((entry) => [entry.spec.metric, entry.section.name]));
    this.dragged = null;
    if (grid.isWorkspace) this.followDrags();
  }

  get layout() {
    return this.grid.layout;
  }

  // Everything as the layout says.
  apply() {
    if (this.grid.isWorkspace) {
      this.grid.element.style.setProperty("--wanted-columns", this.layout.get("columns") || "auto-fill");
      this.grid.element.toggleAttribute("data-columns", this.layout.get("columns") > 0);
      this.makeExpressions();
      this.movePinned();
      this.orderSections();
    }
    for (const section of this.grid.sections) this.applyTo(section);
  }

  applyTo(section) {
    if (this.grid.isWorkspace) {
      section.entries = this.ordered(section);
      // Only where something moves: a chart that is put where it stands would lose the focus.
      const elements = section.entries.map(({ element }) => element);
      if (elements.some((element, i) => section.cardsElement.children[i] !== element)) section.cardsElement.append(...elements);
    }
    let shown = 0;
    for (const entry of section.entries) {
      this.resize(entry);
      entry.element.hidden = this.isHidden(entry) || entry.isFiltered === true;
      shown += !entry.element.hidden;
    }
    section.element.hidden = shown === 0;
    this.fit(section);
    this.count(section);
  }

  // Small sections stand beside each other; one with a chart of several columns has the page's whole width.
  fit(section) {
    const isWide = section.entries.some((entry) => this.sizeOf(entry).width > 1);
    const columns = this.layout.get("columns");
    const { style } = section.element;
    style.gridColumn = isWide ? "1 / -1" : "";
    if (isWide) style.setProperty("--columns", columns > 0 ? `repeat(${columns}, minmax(0, 1fr))` : "repeat(auto-fill, minmax(min(340px, 100%), 1fr))");
    else style.removeProperty("--columns");
  }

  isHidden(entry) {
    return this.grid.isWorkspace && this.layout.has("hidden", entry.spec.metric);
  }

  count(section) {
    if (!this.grid.isWorkspace && section.total === undefined) return; // as the server has written it
    const there = section.entries.filter((entry) => !this.isHidden(entry)).length;
    const total = Math.max(section.total ?? 0, there);
    const words = total > this.grid.limit ? `${this.grid.limit} of ${total}` : String(this.grid.isWorkspace ? there : total);
    const place = section.element.querySelector("[data-section-count]");
    if (!place.matches("a")) place.textContent = words;
  }

  // ---- expressions and pins

  makeExpressions() {
    const wanted = this.layout.get("expressions");
    const known = this.grid.entries().filter(({ spec }) => spec.expression);
    for (const entry of known) {
      if (!wanted.some(({ text }) => text === entry.spec.metric)) entry.section.removeEntry(entry);
    }
    for (const { name, text } of wanted) {
      if (known.some(({ spec }) => spec.metric === text)) continue;
      const section = this.sectionCalled(EXPRESSIONS);
      this.grid.watch(section.addEntry(describeExpression(name, text)));
      this.home.set(text, EXPRESSIONS);
    }
  }

  movePinned() {
    const pinned = this.layout.get("pinned");
    for (const entry of this.grid.entries()) {
      if (!this.home.has(entry.spec.metric)) this.home.set(entry.spec.metric, entry.section.name);
      const target = pinned.includes(entry.spec.metric) ? PINNED : this.home.get(entry.spec.metric);
      if (entry.section.name !== target) this.move(entry, this.sectionCalled(target));
    }
  }

  move(entry, section) {
    entry.section.entries = entry.section.entries.filter((one) => one !== entry);
    entry.section = section;
    if (entry.card) entry.card.section = section;
    section.entries.push(entry);
    section.cardsElement.append(entry.element);
  }

  sectionCalled(name) {
    return this.grid.sections.find((section) => section.name === name) ?? this.grid.addSection(name, []);
  }

  isPinned(metric) {
    return this.layout.has("pinned", metric);
  }

  pin(metric, wanted) {
    this.layout.toggle("pinned", metric, wanted);
    this.apply();
  }

  hide(metric, wanted) {
    this.layout.toggle("hidden", metric, wanted);
    this.apply();
    this.grid.controls.showHidden();
  }

  // ---- order

  ordered(section) {
    const known = section.name === PINNED && !this.orderOf(section).length ? this.layout.get("pinned") : this.orderOf(section);
    const place = new Map(known.map((metric, i) => [metric, i]));
    const rank = (entry) => place.get(entry.spec.metric) ?? Infinity;
    return [...section.entries].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
  }

  orderOf(section) {
    return this.layout.entry("order", "section", section.name).metrics ?? [];
  }

  // The chart to another place among those of its section.
  place(entry, index) {
    const { section } = entry;
    const others = section.entries.filter((one) => one !== entry);
    others.splice(Math.max(Math.min(index, others.length), 0), 0, entry);
    section.entries = others;
    this.layout.setEntry("order", "section", section.name, { metrics: others.map(({ spec }) => spec.metric) });
    this.applyTo(section);
  }

  shift(entry, by) {
    const shown = entry.section.entries.filter((one) => !one.element.hidden);
    const neighbour = shown[shown.indexOf(entry) + by];
    if (neighbour) this.place(entry, entry.section.entries.indexOf(neighbour));
  }

  orderSections() {
    const wanted = [PINNED, ...this.layout.get("section_order")];
    const place = new Map(wanted.map((name, i) => [name, i]));
    const rank = (section) => place.get(section.name) ?? Infinity;
    const inPage = [...this.grid.element.querySelectorAll("[data-chart-section]")];
    this.grid.sections.sort((a, b) => inPage.indexOf(a.element) - inPage.indexOf(b.element));
    if (wanted.length === 1 && !this.grid.sections.some(({ name }) => name === PINNED)) return;
    this.grid.sections.sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
    this.grid.element.querySelector("[data-chart-sections]").append(...this.grid.sections.map(({ element }) => element));
  }

  shiftSection(section, by) {
    const names = this.grid.sections.map(({ name }) => name).filter((name) => name !== PINNED);
    const from = names.indexOf(section.name);
    names.splice(Math.max(from + by, 0), 0, ...names.splice(from, 1));
    this.layout.set("section_order", names);
    this.orderSections();
  }

  // ---- size

  sizeOf(entry) {
    return this.grid.isWorkspace ? this.layout.entry("sizes", "metric", entry.spec.metric) : {};
  }

  resize(entry) {
    const { width, height } = this.sizeOf(entry);
    const { style } = entry.element;
    style.gridColumn = width > 1 ? `span ${width}` : "";
    if (height) style.setProperty("--chart-plot", `${height}px`);
    else style.removeProperty("--chart-plot");
  }

  setSize(entry, { width, height }) {
    this.layout.setEntry("sizes", "metric", entry.spec.metric, {
      width: width === undefined ? undefined : Math.round(Math.max(Math.min(width, MOST_WIDTH), 1)),
      height: height === undefined ? undefined : Math.round(Math.max(Math.min(height, MOST_HEIGHT), LEAST_HEIGHT)),
    });
    this.resize(entry);
    this.fit(entry.section);
  }

  widen(entry, by) {
    const { width = 1, height } = this.sizeOf(entry);
    this.setSize(entry, { width: Math.min(width + by, MOST_WIDTH), height });
    const columns = this.columnCount(entry); // known once the section is as wide as it has to be
    if (width + by > columns) this.setSize(entry, { width: columns, height });
  }

  heighten(entry, by) {
    const { width, height = entry.card.plotElement.clientHeight } = this.sizeOf(entry);
    this.setSize(entry, { width, height: height + by * HEIGHT_STEP });
  }

  resetSize(entry) {
    this.setSize(entry, { width: undefined, height: undefined });
  }

  columnCount(entry) {
    return getComputedStyle(entry.section.cardsElement).gridTemplateColumns.split(" ").length;
  }

  // ---- with the pointer

  followDrags() {
    const { element } = this.grid;
    element.addEventListener("pointerdown", (event) => {
      const corner = event.target.closest?.("[data-chart-resize]");
      if (corner) this.followResize(event, corner.closest(".chart-card").chartEntry);
    });
    element.addEventListener("dragstart", (event) => {
      const header = event.target.closest?.(".chart-header");
      if (!header || event.target.closest("button")) return;
      this.dragged = header.closest(".chart-card").chartEntry ?? null;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", this.dragged?.spec.metric ?? "");
      this.dragged?.element.classList.add("is-dragged");
    });
    element.addEventListener("dragover", (event) => {
      const over = event.target.closest?.(".chart-card")?.chartEntry;
      if (!this.dragged || !over || over.section !== this.dragged.section) return;
      event.preventDefault();
      const box = over.element.getBoundingClientRect();
      const after = event.clientX > box.left + box.width / 2;
      if (over !== this.dragged) over.element[after ? "after" : "before"](this.dragged.element);
    });
    element.addEventListener("drop", (event) => this.dragged && event.preventDefault());
    element.addEventListener("dragend", () => this.drop());
  }

  drop() {
    const entry = this.dragged;
    this.dragged = null;
    if (!entry) return;
    entry.element.classList.remove("is-dragged");
    const elements = [...entry.section.cardsElement.children];
    this.place(entry, elements.indexOf(entry.element));
  }

  followResize(event, entry) {
    event.preventDefault();
    const corner = event.target;
    corner.setPointerCapture(event.pointerId);
    const box = entry.element.getBoundingClientRect();
    const plotHeight = entry.card.plotElement.clientHeight;
    const column = entry.section.cardsElement.clientWidth / this.columnCount(entry);
    const move = ({ clientX, clientY }) => {
      const width = Math.min(Math.max(Math.round((box.width + clientX - event.clientX) / column), 1), this.columnCount(entry));
      this.setSize(entry, { width, height: plotHeight + clientY - event.clientY });
    };
    corner.addEventListener("pointermove", move);
    const end = () => corner.removeEventListener("pointermove", move);
    corner.addEventListener("pointerup", end, { once: true });
    corner.addEventListener("pointercancel", end, { once: true });
  }
}
