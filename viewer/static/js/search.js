// The search in the top bar: what is found stands under the field, arrows walk through it, Enter opens.
const WAIT_MS = 160;

const form = document.querySelector("[data-site-search]");
if (form) begin(form.querySelector("input"), form.querySelector("[role=listbox]"));

function begin(field, list) {
  let timer = 0;
  let asked = 0;

  const options = () => [...list.querySelectorAll("[role=option]")];
  const active = () => list.querySelector("[aria-selected=true]");

  function show(isOpen) {
    list.hidden = !isOpen;
    field.setAttribute("aria-expanded", String(isOpen));
    if (!isOpen) mark(null);
  }

  function mark(option) {
    active()?.setAttribute("aria-selected", "false");
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) field.setAttribute("aria-activedescendant", option.id);
    else field.removeAttribute("aria-activedescendant");
  }

  async function ask() {
    const number = ++asked;
    if (!field.value.trim()) return show(false);
    try {
      const answer = await fetch(`${form.action}?${new URLSearchParams(new FormData(form))}`, { headers: { "HX-Request": "true" } });
      const html = await answer.text();
      if (number !== asked || !answer.ok || document.activeElement !== field) return; // a later one has been asked
      const parsed = new DOMParser().parseFromString(html, "text/html");
      list.replaceChildren(...parsed.body.childNodes);
      show(true);
    } catch {
      // The viewer is away: Enter asks for the page, which says so.
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT_MS);
  });
  field.addEventListener("focus", () => list.childElementCount && field.value.trim() && show(true));
  field.addEventListener("blur", (event) => {
    if (!list.contains(event.relatedTarget)) show(false);
  });
  field.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    const all = options();
    const now = all.indexOf(active());
    if (event.key === "ArrowDown") mark(all[(now + 1) % all.length] ?? null);
    else if (event.key === "ArrowUp") mark(all[(now < 0 ? all.length : now) - 1] ?? null);
    else if (event.key === "Enter" && now >= 0) location.assign(all[now].href);
    else if (event.key === "Escape") show(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  // The field would lose the focus before the click, and the list be gone under the pointer.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
}
