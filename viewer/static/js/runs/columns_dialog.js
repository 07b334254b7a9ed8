// The dialog of columns: what is shown, in its order, beside all fields that runs have, found by a search.
import { showToast } from "../dialogs.js";
import { addressWith, fetchPart, goTo, joinKeys } from "./state.js";

const dialog = document.getElementById("columns-dialog");

document.addEventListener("click", async (event) => {
  const opener = event.target instanceof Element ? event.target.closest("[data-columns-open]") : null;
  if (!opener) return;
  try {
    dialog.innerHTML = await fetchPart("columns"); // our own template, escaped by the server
  } catch (error) {
    showToast(error.message, { kind: "failed" });
    return;
  }
  dialog.showModal();
  dialog.querySelector("[data-field-search]").focus();
});

let searching = 0;
dialog.addEventListener("input", (event) => {
  if (!event.target.matches("[data-field-search]")) return;
  clearTimeout(searching);
  searching = setTimeout(() => search(event.target.value), 150);
});

async function search(text) {
  const list = dialog.querySelector("[data-field-list]");
  const found = await fetchPart("fields", { find: text }).catch(() => null);
  if (found === null || !list.isConnected || dialog.querySelector("[data-field-search]").value !== text) return;
  list.innerHTML = found;
  const shown = new Set(shownRows().map((row) => row.dataset.shownColumn));
  for (const box of list.querySelectorAll("[data-add-column]")) box.checked = shown.has(box.dataset.addColumn);
}

const shownRows = () => [...dialog.querySelectorAll("[data-shown-column]")];

dialog.addEventListener("change", (event) => {
  const box = event.target.closest("[data-add-column]");
  if (!box) return;
  if (box.checked) addRow(box.dataset.addColumn, box.dataset.title);
  else shownRows().find((row) => row.dataset.shownColumn === box.dataset.addColumn)?.remove();
  countRows();
});

function addRow(key, title) {
  if (shownRows().some((row) => row.dataset.shownColumn === key)) return;
  const row = dialog.querySelector("[data-shown-template]").content.firstElementChild.cloneNode(true);
  row.dataset.shownColumn = key;
  row.querySelector("input").value = key;
  row.querySelector(".shown-title").textContent = title;
  row.querySelector(".shown-title").title = key;
  for (const button of row.querySelectorAll("button")) button.setAttribute("aria-label", `${button.title}: ${title}`);
  dialog.querySelector("[data-shown-list]").append(row);
  row.scrollIntoView({ block: "nearest" });
}

function countRows() {
  dialog.querySelector("[data-shown-count]").textContent = String(shownRows().length);
}

dialog.addEventListener("click", (event) => {
  const row = event.target.closest("[data-shown-column]");
  const button = event.target.closest("button");
  if (event.target.closest("[data-columns-reset]")) {
    dialog.close();
    goTo(addressWith({ columns: null, pin: null, width: null, differing: null }));
  }
  if (!row || !button) return;
  if ("remove" in button.dataset) {
    const box = [...dialog.querySelectorAll("[data-add-column]")].find((each) => each.dataset.addColumn === row.dataset.shownColumn);
    if (box) box.checked = false;
    row.remove();
    countRows();
  } else if ("pin" in button.dataset) {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  } else if (button.dataset.move === "-1") {
    row.previousElementSibling?.before(row);
    button.focus();
  } else if (button.dataset.move === "1") {
    row.nextElementSibling?.after(row);
    button.focus();
  }
});

dialog.addEventListener("submit", (event) => {
  event.preventDefault();
  const keys = shownRows().map((row) => row.dataset.shownColumn);
  const pinned = shownRows().filter((row) => row.querySelector("[data-pin]").getAttribute("aria-pressed") === "true").map((row) => row.dataset.shownColumn);
  dialog.close();
  goTo(addressWith({ columns: joinKeys(keys), pin: joinKeys(pinned), differing: null }));
});
