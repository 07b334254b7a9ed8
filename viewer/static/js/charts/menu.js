// The menu of a chart: one at a time, in the top layer, so that no card clips it.

let open = null;

// items: [{title}] headings, [{label, act, checked?}] choices, [{label, href, download?}] links, null a line.
export function openMenu(button, items) {
  const again = open?.button === button;
  closeMenu();
  if (again) return;
  const panel = document.createElement("div");
  panel.className = "menu-panel chart-menu";
  panel.setAttribute("role", "menu");
  panel.popover = "manual";
  panel.append(...items.map(buildItem));
  (button.closest("dialog") ?? document.body).append(panel);
  panel.showPopover();
  const box = button.getBoundingClientRect();
  const { width, height } = panel.getBoundingClientRect();
  panel.style.left = `${Math.max(Math.min(box.right - width, innerWidth - width - 8), 8)}px`;
  panel.style.top = `${box.bottom + height + 6 > innerHeight ? Math.max(box.top - height - 4, 8) : box.bottom + 4}px`;
  open = { button, panel };
  button.setAttribute("aria-expanded", "true");
  panel.querySelector("[role^=menuitem]")?.focus();
}

export function closeMenu({ refocus = false } = {}) {
  if (!open) return;
  open.panel.remove();
  open.button.setAttribute("aria-expanded", "false");
  if (refocus) open.button.focus();
  open = null;
}

function buildItem(item) {
  if (item.title) {
    const heading = document.createElement("div");
    heading.className = "chart-menu-title";
    heading.textContent = item.title;
    return heading;
  }
  const row = document.createElement(item.href ? "a" : "button");
  row.className = "menu-row";
  row.textContent = item.label;
  row.setAttribute("role", item.checked === undefined ? "menuitem" : "menuitemradio");
  if (item.checked !== undefined) row.setAttribute("aria-checked", String(item.checked));
  if (item.href) {
    row.href = item.href;
    row.download = item.download ?? "";
    row.addEventListener("click", () => closeMenu());
  } else {
    row.type = "button";
    row.addEventListener("click", () => {
      closeMenu({ refocus: true });
      item.act();
    });
  }
  return row;
}

document.addEventListener("pointerdown", (event) => {
  if (open && !open.panel.contains(event.target) && !open.button.contains(event.target)) closeMenu();
});
document.addEventListener("keydown", (event) => {
  if (!open) return;
  if (event.key === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    closeMenu({ refocus: true });
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const rows = [...open.panel.querySelectorAll("[role^=menuitem]")];
    const next = rows.indexOf(document.activeElement) + (event.key === "ArrowDown" ? 1 : -1);
    rows[(next + rows.length) % rows.length]?.focus();
  }
}, true);
addEventListener("scroll", (event) => open && !open.panel.contains(event.target) && closeMenu(), true);
