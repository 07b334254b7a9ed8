// A grid of charts on a page: its sections, which runs it draws, and how it follows them.
import { fetchSections } from "./api.js";
import { Arrangement } from "./arrangement.js";
import { Colours } from "./colours.js";
import { followControls } from "./controls.js";
import { Layout } from "./layout.js";
import { ChartSection } from "./section.js";
import { onThemeChange } from "./tokens.js";

const NEAR = "240px 0px"; // charts are made ready a little before they scroll into view
const SECTIONS_PAUSE_MS = 2000;
const MOST_RUNS = 200;
const MOST_PLOTS = 40; // that are kept while they are out of view

export class ChartGrid {
  constructor(element) {
    this.element = element;
    this.project = element.dataset.project;
    this.kind = element.dataset.kind;
    this.isWorkspace = element.dataset.workspace !== undefined;
    this.limit = Number(element.dataset.limit) || Infinity;
    this.legend = element.dataset.legend !== undefined;
    this.scriptUrls = JSON.parse(element.dataset.scripts);
    this.layout = new Layout({
      project: this.project,
      name: this.isWorkspace ? `layout:${this.project}` : `layout of ${this.kind}`,
      kept: this.isWorkspace ? JSON.parse(element.dataset.workspace) : null,
      isKeptByServer: this.isWorkspace && element.dataset.keptBy === "server",
    });
    this.runs = [];
    this.slots = new Map();
    this.highlighted = null;
    this.hidden = new Set(); // lines that somebody has hidden in all charts
    this.looked = []; // cards that have been in view, the latest last
    this.colours = new Colours(this);
    this.takeRuns(JSON.parse(element.dataset.runs));
    this.sectionsTimer = 0;
  }

  mount() {
    this.axis = this.hasChoices() ? this.layout.get("axis") : this.element.dataset.axis;
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: NEAR });
    this.sections = [...this.element.querySelectorAll("[data-chart-section]")].map((section) => new ChartSection(section, this));
    this.arrangement = new Arrangement(this);
    this.arrangement.apply();
    for (const entry of this.entries()) this.watch(entry);
    this.controls = followControls(this);
    this.followDocument();
    onThemeChange(() => this.cards().forEach((card) => card.restyle()));
    this.showNone();
    this.recolour();
  }

  // Whether a person may choose what x is here.
  hasChoices() {
    return this.kind === "metrics" && (this.isWorkspace || this.element.querySelector("[data-chart-axis]") !== null);
  }

  entries() {
    return this.sections.flatMap((section) => section.entries);
  }

  cards() {
    return this.sections.flatMap((section) => section.cards);
  }

  watch(entry) {
    entry.element.chartEntry = entry;
    this.observer.observe(entry.element);
  }

  seen(changes) {
    for (const { target, isIntersecting } of changes) {
      const entry = target.chartEntry;
      if (!isIntersecting && !entry.card) continue;
      const card = this.cardOf(entry);
      card.setInView(isIntersecting);
      if (isIntersecting) this.noteLook(card);
    }
  }

  cardOf(entry) {
    if (entry.card) return entry.card;
    const before = entry.element;
    const card = entry.section.build(entry);
    entry.element.chartCard = card;
    if (before !== entry.element) {
      this.observer.unobserve(before);
      this.watch(entry);
    }
    return card;
  }

  // Plots take memory: of those out of view the latest stay.
  noteLook(card) {
    this.looked = [...this.looked.filter((one) => one !== card), card];
    while (this.looked.length > MOST_PLOTS) {
      const oldest = this.looked.find((one) => !one.inView);
      if (!oldest) return;
      this.looked = this.looked.filter((one) => one !== oldest);
      oldest.suspend();
    }
  }

  // ---- what charts ask for

  runIds() {
    return this.runs.map((run) => run.run_id);
  }

  get smoothing() {
    return this.kind === "metrics" ? this.layout.get("smoothing") : { kind: "none", strength: 0 };
  }

  query() {
    const group = this.isWorkspace ? this.layout.get("group_by") : [];
    // The clock has no beginning from which a logarithm could count.
    return { axis: this.axis, x_scale: this.axis === "wall" ? "linear" : this.layout.get("x_scale"), group };
  }

  // ---- runs

  takeRuns(runs) {
    this.runs = runs.slice(0, MOST_RUNS);
    this.slots = new Map(this.runs.map((run) => [run.run_id, run.slot]));
  }

  drawRuns(runs) {
    this.takeRuns(runs);
    this.showNone();
    this.renewSections({ prune: true });
    this.recolour();
    for (const card of this.cards()) card.touch();
  }

  highlight(runId) {
    if (this.highlighted === runId) return;
    this.highlighted = runId;
    for (const card of this.cards()) if (card.inView && card.ready()) card.draw();
  }

  hideLines(ids, wanted) {
    for (const id of ids) this.hidden[wanted ? "add" : "delete"](id);
    this.controls.showColours();
    this.redraw();
  }

  // Colours by a value are known once the server has said which run has which.
  async recolour() {
    await this.colours.renew().catch(() => {}); // the charts say that the server does not answer
    this.controls.showColours();
    if (this.colours.words.size > 0) this.redraw();
  }

  // ---- choices

  choose(key, value) {
    this.layout.set(key, value);
    if (key === "axis") this.setAxis(value);
    else if (key === "x_scale") this.refetch();
    else if (key === "group_by") this.regroup();
    else if (key === "colour_by") this.recolour().then(() => this.redraw());
    else this.redraw();
  }

  regroup() {
    this.hidden.clear();
    this.recolour();
    this.refetch();
  }

  setAxis(axis) {
    this.axis = axis;
    this.controls.showAxis();
    this.refetch();
  }

  // Another layout altogether.
  applyLayout() {
    this.axis = this.layout.get("axis");
    for (const section of this.sections) section.fold(this.layout.has("folded", section.name), false);
    this.arrangement.apply();
    this.controls.show();
    this.recolour();
    this.refetch();
  }

  refetch() {
    for (const section of this.sections) {
      section.zoom = null;
      for (const card of section.cards) {
        card.extent = null;
        card.stale = true;
        if (card.inView) card.refresh();
      }
    }
  }

  redraw() {
    cancelAnimationFrame(this.drawRequest);
    this.drawRequest = requestAnimationFrame(() => this.cards().forEach((card) => (card.inView ? card.draw() : (card.stale ||= card.ready()))));
  }

  // One sentence where no chart stands.
  showNone(words = "") {
    const none = this.element.querySelector("[data-chart-none]");
    const empty = this.runs.length === 0;
    none.firstElementChild.textContent = empty ? "No run is drawn. Open the eye of a run in the table." : words;
    none.hidden = !empty && words === "";
    this.element.querySelector("[data-chart-sections]").hidden = empty;
  }

  // ---- following the page

  followDocument() {
    const listen = (name, act) => {
      const heard = (event) => {
        if (!this.element.isConnected) return document.removeEventListener(name, heard); // HTMX took the grid away
        act(event);
      };
      document.addEventListener(name, heard);
    };
    listen("cloister:run-changed", (event) => this.runChanged(event.detail));
    listen("cloister:drawn-runs", (event) => this.drawRuns(event.detail));
    listen("cloister:highlight-run", (event) => this.highlight(event.detail?.run_id ?? null));
    listen("visibilitychange", () => !document.hidden && this.cards().forEach((card) => card.inView && card.stale && card.refresh()));
  }

  runChanged({ run_id: runId }) {
    if (!this.runs.some((run) => String(run.run_id) === String(runId))) return;
    for (const card of this.cards()) card.touch();
    if (this.sectionsTimer || this.element.closest("[data-charts-fixed]")) return;
    this.sectionsTimer = setTimeout(() => {
      this.sectionsTimer = 0;
      this.renewSections();
    }, SECTIONS_PAUSE_MS);
  }

  // ---- sections

  // Metrics that the drawn runs have by now and that have no card yet get one.
  async renewSections({ prune = false } = {}) {
    if (this.runs.length === 0) return;
    const found = await fetchSections(this.runIds(), this.kind).catch(() => null);
    if (!found) return; // the next change asks again
    const known = new Set(this.entries().map(({ spec }) => spec.metric));
    for (const [place, { name, charts }] of found.entries()) {
      const section = this.sections.find((one) => one.name === name) ?? this.addSection(name, found.slice(0, place));
      for (const spec of charts) {
        if (known.has(spec.metric) || section.entries.length >= this.limit) continue;
        this.watch(section.addEntry(spec));
      }
      section.total = charts.length;
    }
    if (prune) this.prune(new Set(found.flatMap(({ charts }) => charts.map((spec) => spec.metric))));
    this.arrangement.apply();
    this.controls.search();
    if (found.length > 0) this.element.parentElement.querySelector("[data-chart-empty]")?.remove();
  }

  // Charts of metrics that none of the runs drawn now has.
  prune(kept) {
    for (const section of this.sections) {
      for (const entry of [...section.entries]) {
        if (!kept.has(entry.spec.metric) && !entry.spec.expression) section.removeEntry(entry);
      }
    }
  }

  addSection(name, before) {
    const element = this.element.querySelector("[data-section-template]").content.firstElementChild.cloneNode(true);
    element.dataset.chartSection = name;
    element.querySelector("[data-section-name]").textContent = name;
    const neighbour = [...before].reverse().map((one) => this.sections.find((known) => known.name === one.name)).find(Boolean);
    if (neighbour) neighbour.element.after(element);
    else this.element.querySelector("[data-chart-sections]").prepend(element);
    const section = new ChartSection(element, this);
    this.sections.push(section);
    return section;
  }

  newCardElement(spec) {
    const element = this.element.querySelector("[data-card-template]").content.firstElementChild.cloneNode(true);
    element.dataset.chart = JSON.stringify(spec);
    const title = element.querySelector(".chart-title");
    title.textContent = spec.title;
    title.title = spec.metric;
    element.querySelector("[data-chart-note]").textContent = spec.unit;
    element.querySelector("[data-chart-plot]").setAttribute("aria-label", spec.metric);
    return element;
  }
}
