// Name, tags and notes, changed where they stand: Enter keeps, Escape leaves as it was.
import { root } from "../addresses.js";
import { callApi } from "../api_client.js";
import { showToast } from "../dialogs.js";
import { reload } from "./state.js";

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-edit]") : null;
  if (button) begin(button.closest("td"), button.dataset.edit);
});
document.addEventListener("dblclick", (event) => {
  const cell = event.target instanceof Element ? event.target.closest("tr[data-editable] td[data-cell]") : null;
  if (cell && cell.querySelector("[data-edit]") && !event.target.closest("a, input")) begin(cell, cell.dataset.cell);
});

function begin(cell, field) {
  if (cell.querySelector(".cell-editor")) return;
  const row = cell.closest("tr");
  const before = field === "name" ? row.dataset.name : cell.dataset.value;
  const form = document.createElement("form");
  form.className = "cell-editor";
  const input = document.createElement("input");
  input.type = "text";
  input.value = before.replaceAll("\n", " ⏎ ");
  input.setAttribute("aria-label", `${field} of ${row.dataset.name}`);
  form.append(input);
  cell.append(form);
  cell.dataset.morphSkip = ""; // a live update must not take the field away
  input.focus();
  input.select();
  const end = () => {
    delete cell.dataset.morphSkip;
    form.remove();
  };
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const value = input.value.replaceAll(" ⏎ ", "\n").trim();
    if (value === before) {
      end();
      return;
    }
    input.disabled = true;
    try {
      await save(row, field, value);
      end();
      showToast(`Changed ${field} of ${row.dataset.name}`, { action: { label: "Undo", run: () => save(row, field, before).catch(fail) } });
    } catch (error) {
      input.disabled = false;
      fail(error);
      input.focus();
    }
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end();
    cell.querySelector("[data-edit]").focus();
  });
  input.addEventListener("blur", () => {
    if (!input.disabled && form.isConnected && input.value === before) end();
  });
}

const fail = (error) => showToast(error.message, { kind: "failed" });

async function save(row, field, text) {
  const value = field === "tags" ? [...new Set(text.split(",").map((word) => word.trim()).filter(Boolean))] : text;
  const path = row.querySelector("[data-open]").getAttribute("href").slice(root.length);
  await callApi("PATCH", path, { [field]: value });
  reload();
}
