// A section of charts: they share x range, zoom and crosshair. A chart is an entry with a place of its size on the page;
// it becomes a card when it comes near the window.
import { xBounds } from "./axes.js";
import { hideHoverCard } from "./hover.js";
import { ChartCard } from "./card.js";
import { openSectionMenu } from "./card_menus.js";

export class ChartSection {
  constructor(element, grid) {
    this.element = element;
    this.grid = grid;
    this.name = element.dataset.chartSection;
    this.zoom = null;
    this.large = []; // the same charts in full size
    this.entries = [...element.querySelectorAll("[data-chart]")].map((card) => this.entryOf(card, JSON.parse(card.dataset.chart)));
    for (const spec of JSON.parse(element.dataset.rest ?? "[]")) this.entries.push(this.waitingEntry(spec));
    delete element.dataset.rest;
    this.toggle = element.querySelector("[data-section-toggle]");
    this.toggle.addEventListener("click", () => this.fold(this.toggle.getAttribute("aria-expanded") === "true", true));
    this.fold(grid.layout.has("folded", this.name), false);
    const more = element.querySelector("[data-section-more]");
    if (more) more.hidden = !grid.isWorkspace;
    more?.addEventListener("click", () => openSectionMenu(more, this));
  }

  get cardsElement() {
    return this.element.querySelector("[data-chart-cards]");
  }

  get cards() {
    return [...this.entries.map(({ card }) => card).filter(Boolean), ...this.large];
  }

  fold(folded, byPerson) {
    this.toggle.setAttribute("aria-expanded", String(!folded));
    this.cardsElement.hidden = folded;
    if (byPerson) this.grid.layout.toggle("folded", this.name, folded);
  }

  // ---- entries

  entryOf(element, spec) {
    return { spec, element, card: null, section: this };
  }

  // A place for a chart: of two thousand charts nearly all stay this.
  waitingEntry(spec) {
    const element = document.createElement("div");
    element.className = "chart-card chart-waiting";
    element.textContent = spec.title;
    this.cardsElement.append(element);
    return this.entryOf(element, spec);
  }

  addEntry(spec) {
    const entry = this.waitingEntry(spec);
    this.entries.push(entry);
    return entry;
  }

  // The entry's card, made of its place where it is not there yet.
  build(entry) {
    if (entry.card) return entry.card;
    if (entry.element.matches(".chart-waiting")) {
      const element = this.grid.newCardElement(entry.spec);
      element.hidden = entry.element.hidden;
      element.style.cssText = entry.element.style.cssText;
      entry.element.replaceWith(element);
      entry.element = element;
    }
    if (this.grid.isWorkspace) entry.element.querySelector(".chart-header").draggable = true;
    entry.card = new ChartCard(entry.element, this);
    return entry.card;
  }

  removeEntry(entry) {
    if (entry.card) entry.card.remove();
    else entry.element.remove();
    this.entries = this.entries.filter((one) => one !== entry);
  }

  // ---- x range

  // Where an unzoomed chart begins and ends: as far as any chart of the section that counts alike. One that counts
  // batches among others that count epochs keeps a range of its own, or theirs would shrink to nothing.
  fullRange(card) {
    if (!card.extent) return null;
    const alike = this.cards.map((one) => one.extent).filter((extent) => extent && isAlike(extent, card.extent));
    return xBounds(Math.min(...alike.map(([low]) => low)), Math.max(...alike.map(([, high]) => high)), this.grid.axis, 5);
  }

  // A card has new points: when they reach further than all so far, the others follow.
  extentChanged(card) {
    if (this.zoom) return;
    for (const other of this.cards) if (other !== card && other.ready()) other.redrawIfRangeChanged();
  }

  setZoom(low, high, card) {
    const full = this.fullRange(card);
    if (!full) return;
    const kept = [Math.max(low, full[0]), Math.min(high, full[1])];
    if (!(kept[1] - kept[0] > (full[1] - full[0]) * 1e-9)) return;
    if (kept[0] <= full[0] && kept[1] >= full[1]) return this.resetZoom();
    this.zoom = kept;
    this.zoomed();
  }

  resetZoom() {
    if (!this.zoom) return;
    this.zoom = null;
    this.zoomed();
  }

  zoomed() {
    this.hover(null);
    for (const card of this.cards) {
      card.draw();
      card.refreshAfterZoom();
    }
  }

  // ---- crosshair

  // All charts of the page count alike along x, so it stands in those of other sections too.
  hover(place, source, nearest) {
    for (const card of this.grid.cards()) if (card.inView || card === source) card.showCrosshair(place, card === source, nearest);
    if (place === null) hideHoverCard();
  }
}

function isAlike([low, high], [ownLow, ownHigh]) {
  const [span, own] = [high - low, ownHigh - ownLow];
  return Math.max(span, own) <= 2 * Math.min(span, own) || span === own;
}
