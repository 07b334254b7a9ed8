// What could come next in a query: fields with how many runs have them, operators, values. Arrows and Enter, or a click.
import { root } from "../addresses.js";

const ASK_MS = 120;

// `taken` is called after a completion has changed the field.
export function completeWith(field, list, { project, taken }) {
  let choices = []; // [{text, detail, start, length}] of the API
  let current = -1;
  let asking = 0;
  let asked = 0;

  function close() {
    clearTimeout(asking);
    asked += 1;
    choices = [];
    current = -1;
    list.hidden = true;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function show(found) {
    choices = found;
    current = -1;
    list.replaceChildren(...choices.map(row));
    list.hidden = choices.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    field.removeAttribute("aria-activedescendant");
  }

  function row(choice, place) {
    const item = document.createElement("li");
    item.id = `query-choice-${place}`;
    item.className = "query-choice";
    item.setAttribute("role", "option");
    item.setAttribute("aria-selected", "false");
    const [text, detail] = [document.createElement("span"), document.createElement("small")];
    text.textContent = choice.text;
    text.className = `word-${choice.kind}`;
    detail.textContent = choice.detail;
    item.append(text, detail);
    item.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the field keeps the focus
      take(place);
    });
    return item;
  }

  function mark(place) {
    current = (place + choices.length) % choices.length;
    for (const [index, item] of [...list.children].entries()) item.setAttribute("aria-selected", String(index === current));
    list.children[current].scrollIntoView({ block: "nearest" });
    field.setAttribute("aria-activedescendant", list.children[current].id);
  }

  function take(place) {
    const choice = choices[place];
    const after = field.value.slice(choice.start + choice.length);
    const text = `${choice.text}${after.startsWith(" ") ? "" : " "}`;
    field.value = field.value.slice(0, choice.start) + text + after;
    const end = choice.start + text.length;
    field.setSelectionRange(end, end);
    close();
    taken();
    askSoon();
  }

  function askSoon() {
    clearTimeout(asking);
    asking = setTimeout(ask, ASK_MS);
  }

  async function ask() {
    const question = ++asked;
    const query = new URLSearchParams({ query: field.value, column: String(field.selectionStart ?? field.value.length), ...(project !== null && { project }) });
    const answer = await fetch(`${root}/api/v1/query/complete?${query}`).catch(() => null);
    const found = answer?.ok ? await answer.json() : null;
    if (question !== asked || document.activeElement !== field) return; // typed on meanwhile, or left
    show(found ? choicesOf(found) : []);
  }

  field.addEventListener("input", askSoon);
  field.addEventListener("click", askSoon);
  field.addEventListener("blur", close);
  field.addEventListener("keydown", (event) => {
    if (list.hidden) return;
    if (event.key === "ArrowDown") mark(current + 1);
    else if (event.key === "ArrowUp") mark(current < 0 ? choices.length - 1 : current - 1);
    else if ((event.key === "Enter" || event.key === "Tab") && current >= 0) take(current);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
}

function choicesOf(answer) {
  return answer.choices;
}
