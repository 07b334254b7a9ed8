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

  hover(place, source) {
    for (const card of this.cards) if (card.inView || card === source) card.showCrosshair(place);
    if (place === null) hideHoverCard();
  }
}

function isAlike([low, high], [ownLow, ownHigh]) {
  const [span, own] = [high - low, ownHigh - ownLow];
  return Math.max(span, own) <= 2 * Math.min(span, own) || span === own;
}
