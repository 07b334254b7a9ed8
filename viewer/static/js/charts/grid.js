// A grid of charts on a page: its controls, its sections, which runs it draws, and how it follows them.
import { fetchSections } from "./api.js";
import { DEFAULT_SMOOTHING, remember, remembered } from "./preferences.js";
import { ChartSection } from "./section.js";
import { onThemeChange } from "./tokens.js";

const NEAR = "240px 0px"; // charts are made ready a little before they scroll into view
const SECTIONS_PAUSE_MS = 2000;
const MOST_RUNS = 36;

export class ChartGrid {
  constructor(element) {
    this.element = element;
    this.project = element.dataset.project;
    this.kind = element.dataset.kind;
    this.axis = element.dataset.axis;
    this.limit = Number(element.dataset.limit) || Infinity;
    this.legend = element.dataset.legend !== undefined;
    this.scriptUrls = JSON.parse(element.dataset.scripts);
    this.runs = [];
    this.slots = new Map();
    this.highlighted = null;
    this.smoothing = this.kind === "metrics" ? remembered("smoothing", DEFAULT_SMOOTHING) : 0;
    this.takeRuns(JSON.parse(element.dataset.runs));
    this.sectionsTimer = 0;
  }

  mount() {
    this.observer = new IntersectionObserver((entries) => this.seen(entries), { rootMargin: NEAR });
    this.sections = [...this.element.querySelectorAll("[data-chart-section]")].map((section) => new ChartSection(section, this));
    for (const card of this.cards()) this.watch(card);
    this.followControls();
    this.followDocument();
    onThemeChange(() => this.cards().forEach((card) => card.restyle()));
    this.showNone();
  }

  cards() {
    return this.sections.flatMap((section) => section.cards);
  }

  watch(card) {
    card.element.chartCard = card;
    this.observer.observe(card.element);
  }

  seen(entries) {
    for (const entry of entries) entry.target.chartCard.setInView(entry.isIntersecting);
  }

  // ---- runs

  runIds() {
    return this.runs.map((run) => run.run_id);
  }

  takeRuns(runs) {
    this.runs = runs.slice(0, MOST_RUNS);
    this.slots = new Map(this.runs.map((run) => [run.run_id, run.slot]));
  }

  drawRuns(runs) {
    this.takeRuns(runs);
    this.showNone();
    this.renewSections({ prune: true });
    for (const card of this.cards()) card.touch();
  }

  highlight(runId) {
    if (this.highlighted === runId) return;
    this.highlighted = runId;
    for (const card of this.cards()) if (card.inView && card.ready()) card.draw();
  }

  // ---- controls

  followControls() {
    const slider = this.element.querySelector("[data-chart-smoothing]");
    slider?.addEventListener("input", () => this.smooth(Number(slider.value), slider));
    if (slider) this.showSmoothing(slider);
    this.element.querySelector("[data-chart-filter]")?.addEventListener("input", (event) => this.filter(event.target.value));
    for (const button of this.element.querySelectorAll("[data-chart-axis]")) {
      button.addEventListener("click", () => this.setAxis(button.dataset.chartAxis));
    }
    const axis = this.kind === "metrics" && this.element.querySelector("[data-chart-axis]") ? remembered("axis", this.axis) : this.axis;
    if (axis !== this.axis) this.setAxis(axis);
  }

  smooth(value, slider) {
    this.smoothing = value;
    remember("smoothing", value);
    this.showSmoothing(slider);
    cancelAnimationFrame(this.smoothRequest);
    this.smoothRequest = requestAnimationFrame(() => this.cards().forEach((card) => (card.inView ? card.draw() : (card.stale ||= card.ready()))));
  }

  showSmoothing(slider) {
    slider.value = this.smoothing;
    slider.style.setProperty("--filled", `${(this.smoothing / Number(slider.max)) * 100}%`);
    this.element.querySelector("[data-smoothing-number]").value = this.smoothing.toFixed(2);
  }

  setAxis(axis) {
    this.axis = axis;
    if (this.kind === "metrics") remember("axis", axis);
    for (const button of this.element.querySelectorAll("[data-chart-axis]")) {
      const chosen = button.dataset.chartAxis === axis;
      button.toggleAttribute("aria-current", chosen);
      if (chosen) button.setAttribute("aria-current", "true");
      button.setAttribute("aria-pressed", String(chosen));
    }
    for (const section of this.sections) {
      section.zoom = null;
      for (const card of section.cards) {
        card.extent = null;
        card.stale = true;
        if (card.inView) card.refresh();
      }
    }
  }

  filter(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const section of this.sections) {
      let count = 0;
      for (const card of section.cards) {
        const name = `${card.metric} ${card.spec.title}`.toLowerCase();
        card.element.hidden = !words.every((word) => name.includes(word));
        if (!card.element.hidden) count += 1;
      }
      section.element.hidden = count === 0;
      shown += count;
    }
    this.showNone(shown === 0 && words.length > 0 ? `No chart's name has \u201c${text.trim()}\u201d in it.` : "");
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
    if (this.sectionsTimer) return;
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
    for (const [place, { name, charts }] of found.entries()) {
      const section = this.sections.find((one) => one.name === name) ?? this.addSection(name, found.slice(0, place));
      const known = new Set(section.cards.map((card) => card.metric));
      for (const spec of charts) {
        if (known.has(spec.metric) || section.cards.length >= this.limit) continue;
        this.watch(section.addCard(this.newCardElement(spec)));
      }
      const count = Math.max(charts.length, known.size);
      section.element.querySelector("[data-section-count]").textContent = count > this.limit ? `${this.limit} of ${count}` : String(count);
    }
    if (prune) this.prune(new Set(found.flatMap(({ charts }) => charts.map((spec) => spec.metric))));
    if (found.length > 0) this.element.parentElement.querySelector("[data-chart-empty]")?.remove();
  }

  // Charts of metrics that none of the runs drawn now has.
  prune(kept) {
    for (const section of this.sections) {
      for (const card of section.cards) if (!kept.has(card.metric)) card.remove();
      section.cards = section.cards.filter((card) => kept.has(card.metric));
      section.element.hidden = section.cards.length === 0;
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
