// The source tab: changes one below the other, or side by side where there is room; its files as a tree.
import "./file_trees.js";

const KEY = "source.view";
const diff = document.querySelector("[data-diff]");
const choice = document.querySelector("[data-diff-switch]");

function show(view) {
  diff.dataset.view = view;
  for (const button of choice.children) button.setAttribute("aria-pressed", String(button.dataset.view === view));
}

function remembered() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden
  }
}

// On a narrow screen the lists stand above the file: who chose one wants to see it.
if (location.search && !location.hash && matchMedia("(max-width: 1023px)").matches) {
  document.querySelector(".source-main").scrollIntoView();
}

if (diff && choice) {
  choice.hidden = false;
  if (remembered() === "split") show("split");
  choice.addEventListener("click", (event) => {
    const button = event.target.closest("[data-view]");
    if (!button) return;
    show(button.dataset.view);
    try {
      localStorage.setItem(KEY, button.dataset.view);
    } catch {
      // then the choice holds for this page
    }
  });
}
