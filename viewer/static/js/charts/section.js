// A section of charts: they share x range, zoom and crosshair.
import { xBounds } from "./axes.js";
import { hideHoverCard } from "./hover.js";
import { ChartCard } from "./card.js";
import { remember, remembered } from "./preferences.js";

export class ChartSection {
  constructor(element, grid) {
    this.element = element;
    this.grid = grid;
    this.name = element.dataset.chartSection;
    this.zoom = null;
    this.extent = null; // [low, high] of all points of its charts
    this.cards = [...element.querySelectorAll("[data-chart]")].map((card) => new ChartCard(card, this));
    this.total = this.cards.length;
    this.toggle = element.querySelector("[data-section-toggle]");
    this.toggle.addEventListener("click", () => this.fold(this.toggle.getAttribute("aria-expanded") === "true", true));
    this.fold(remembered(`folded:${grid.project}:${this.name}`, false), false);
  }

  get cardsElement() {
    return this.element.querySelector("[data-chart-cards]");
  }

  fold(folded, byPerson) {
    this.toggle.setAttribute("aria-expanded", String(!folded));
    this.cardsElement.hidden = folded;
    if (byPerson) remember(`folded:${this.grid.project}:${this.name}`, folded || undefined);
  }

  addCard(element) {
    this.cardsElement.append(element);
    const card = new ChartCard(element, this);
    this.cards.push(card);
    return card;
  }

  // ---- x range

  fullRange() {
    return this.extent && xBounds(this.extent[0], this.extent[1], this.grid.axis, 5);
  }

  // A card has new points: when they reach further than all so far, the others follow.
  extentChanged(card) {
    const known = this.cards.map((one) => one.extent).filter(Boolean);
    const extent = known.length === 0 ? null : [Math.min(...known.map(([low]) => low)), Math.max(...known.map(([, high]) => high))];
    const same = extent?.[0] === this.extent?.[0] && extent?.[1] === this.extent?.[1];
    this.extent = extent;
    if (same || this.zoom) return;
    for (const other of this.cards) if (other !== card) other.draw();
  }

  setZoom(low, high) {
    const full = this.fullRange();
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

  hover(place, source) {
    for (const card of this.cards) if (card.inView || card === source) card.showCrosshair(place);
    if (place === null) hideHoverCard();
  }
}
