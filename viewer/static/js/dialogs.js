// Menus, dialogs, toasts and copy buttons.
const TOAST_MS = 6000;

document.addEventListener("click", (event) => {
  if (!(event.target instanceof Element)) return;
  closeMenus(event.target.closest(".menu"));
  const opener = event.target.closest("[data-dialog]");
  if (opener) {
    event.preventDefault();
    openDialog(opener.dataset.dialog);
  }
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog")?.close();
  if (event.target instanceof HTMLDialogElement && event.target.open) event.target.close(); // a click on the backdrop
  const clearer = event.target.closest("[data-clear]");
  if (clearer) emptyField(clearer.parentElement.querySelector("input"));
  const copier = event.target.closest("[data-copy]");
  if (copier) copy(copier.dataset.copy);
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

document.addEventListener("submit", (event) => {
  if (event.target.matches("[data-closes]")) event.target.closest("dialog")?.close();
});

// What HTMX could not fetch: the page keeps what it shows and says so.
let failureShown = 0;
for (const failure of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(failure, (event) => {
    if (Date.now() - failureShown < TOAST_MS) return;
    failureShown = Date.now();
    const status = event.detail.xhr?.status;
    showToast(
      status === 400 ? "That cannot be shown: the address has no meaning." : "The viewer did not answer. What you see is from before.",
      { kind: "failed", action: { label: "Load again", run: () => location.reload() } },
    );
  });
}

// Typing into data-filter-list hides the list's entries that do not contain the text.
document.addEventListener("input", (event) => {
  const list = event.target.dataset?.filterList && document.getElementById(event.target.dataset.filterList);
  if (!list) return;
  const wanted = event.target.value.trim().toLowerCase();
  for (const entry of list.querySelectorAll("[data-filter-text]")) {
    entry.hidden = !entry.dataset.filterText.toLowerCase().includes(wanted);
  }
});

export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog instanceof HTMLDialogElement && !dialog.open) dialog.showModal();
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false;
}

function emptyField(field) {
  field.value = "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.focus();
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    showToast("Copied");
  } catch {
    showToast("The browser does not allow copying here. Select the text and copy it.", { kind: "failed" });
  }
}

// kind: "completed" or a status whose glyph fits. Errors ("failed") stay until closed. action: {label, run}.
export function showToast(words, { kind = "completed", action = null } = {}) {
  const toast = document.createElement("div");
  toast.className = `toast status-${kind}`;
  const glyph = document.createElement("span");
  glyph.className = `status status-${kind}`;
  glyph.append(icon(`status-${kind}`));
  glyph.style.flex = "none";
  const text = document.createElement("span");
  text.textContent = words;
  toast.append(glyph, text);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button button-quiet";
    button.textContent = action.label;
    button.addEventListener("click", () => {
      toast.remove();
      action.run();
    });
    toast.append(button);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "icon-button";
  close.setAttribute("aria-label", "Close");
  close.append(icon("close"));
  close.addEventListener("click", () => toast.remove());
  toast.append(close);
  document.getElementById("toasts").append(toast);
  if (kind !== "failed") setTimeout(() => toast.remove(), TOAST_MS);
}

export function icon(name) {
  const SVG = "http://www.w3.org/2000/svg";
  const sprite = document.querySelector("svg.icon use").getAttribute("href").split("#")[0];
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  drawing.append(use);
  return drawing;
}
