// The artifacts tab: what the browser cannot decode is said to be so; JSON as a tree or as text; PDFs in their frame.
import "./file_trees.js";
import { showPdf } from "./pdf_preview.js";

function sayBroken(element, words) {
  element.parentElement.hidden = true;
  document.querySelector(words).hidden = false;
}

const image = document.querySelector("[data-image]");
if (image) {
  image.addEventListener("error", () => sayBroken(image, "[data-image-broken]"));
  if (image.complete && image.naturalWidth === 0) sayBroken(image, "[data-image-broken]");
}

const media = document.querySelector("[data-media]");
if (media) {
  media.addEventListener("error", () => sayBroken(media, "[data-media-broken]"));
  if (media.error) sayBroken(media, "[data-media-broken]");
}

const views = document.querySelector("[data-artifact-views]");
if (views) {
  const choice = views.querySelector("[data-views-switch]");
  choice.hidden = false;
  choice.addEventListener("click", (event) => {
    const button = event.target.closest("[data-view]");
    if (!button) return;
    views.dataset.view = button.dataset.view;
    for (const other of choice.children) other.setAttribute("aria-pressed", String(other === button));
  });
}

const pdf = document.querySelector("[data-pdf]");
if (pdf) showPdf(pdf);
