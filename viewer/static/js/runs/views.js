// Saved views: the menu that lists them, keeping one, sharing and deleting.
import { callApi } from "../api_client.js";
import { showToast } from "../dialogs.js";
import { fetchPart, parameters, tableElement } from "./state.js";

const menu = document.getElementById("views-menu");
const list = menu.querySelector("[data-views-list]");

async function fill() {
  try {
    list.innerHTML = await fetchPart("views"); // our own template, escaped by the server
  } catch (error) {
    list.textContent = error.message;
  }
}
menu.addEventListener("toggle", () => {
  if (menu.open) fill();
});

// The address of a view: which page of the table it was, and which runs were drawn, is no part of it.
function viewAddress() {
  const query = parameters();
  for (const name of ["page", "draw", "open"]) query.delete(name);
  return query.toString();
}

// Whatever is changed in a table makes it another one than the view, until it is saved again.
export function syncViewName() {
  const name = tableElement().dataset.shownView;
  document.querySelector("[data-view-name]").textContent = name ? `View: ${name}` : "Views";
}

const form = document.querySelector("[data-save-view]");
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = form.querySelector(".dialog-problem");
  problem.hidden = true;
  const fields = new FormData(form);
  try {
    const view = await callApi("POST", "/views", {
      project: form.dataset.project || null,
      name: fields.get("name"),
      address: viewAddress(),
      shared: fields.get("shared") === "on",
    });
    form.closest("dialog").close();
    document.querySelector("[data-view-name]").textContent = `View: ${view.name}`;
    showToast(`Saved the view ${view.name}`);
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
});

list.addEventListener("click", async (event) => {
  const share = event.target.closest("[data-view-share]");
  const remove = event.target.closest("[data-view-delete]");
  if (!share && !remove) return;
  event.preventDefault();
  try {
    if (share) await callApi("PATCH", `/views/${share.dataset.viewShare}`, { shared: share.dataset.shared !== "true" });
    else await callApi("DELETE", `/views/${remove.dataset.viewDelete}`);
    if (remove) showToast(`Deleted the view ${remove.dataset.viewTitle}`);
    await fill();
  } catch (error) {
    showToast(error.message, { kind: "failed" });
  }
});
