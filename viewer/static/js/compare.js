// The comparison: its link, and consoles that scroll together.

document.addEventListener(
  "click",
  (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-copy-address]");
    if (button) button.dataset.copy = new URL(button.dataset.copyAddress, location.href).href; // dialogs.js copies it
  },
  { capture: true },
);

// A console opens at its end, where what matters stands.
function openAtEnd(root) {
  for (const tail of root.querySelectorAll("[data-console-tail]:not([data-opened])")) {
    tail.dataset.opened = "";
    tail.scrollTop = tail.scrollHeight;
  }
}

document.addEventListener("htmx:afterSettle", () => openAtEnd(document));
openAtEnd(document);

// Together by share of their length: runs print different amounts.
let leader = null;
document.addEventListener(
  "scroll",
  (event) => {
    const tail = event.target;
    if (!(tail instanceof Element) || !tail.matches("[data-console-tail]")) return;
    const consoles = tail.closest("[data-consoles]");
    if (!consoles?.querySelector("[data-scroll-together]")?.checked || (leader && leader !== tail)) return;
    leader = tail;
    const share = tail.scrollTop / Math.max(1, tail.scrollHeight - tail.clientHeight);
    for (const other of consoles.querySelectorAll("[data-console-tail]")) {
      if (other !== tail) other.scrollTop = share * (other.scrollHeight - other.clientHeight);
    }
    requestAnimationFrame(() => requestAnimationFrame(() => (leader = null)));
  },
  { capture: true, passive: true },
);

// Arrow keys step through the media, as on a run's own page.
document.addEventListener("keydown", (event) => {
  const side = { ArrowLeft: "previous", ArrowRight: "next" }[event.key];
  if (!side || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select, [data-chart-plot]")) return;
  if (!event.target.closest?.(".compare-media")) return;
  const link = document.querySelector(`.compare-media [data-step="${side}"]`);
  if (link) {
    event.preventDefault();
    link.click();
  }
});
