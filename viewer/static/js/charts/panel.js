// The panel of a workspace: colours, groups, axes, lines, expressions, hidden charts, layouts.
import { callApi } from "../api_client.js";
import { showToast } from "../dialogs.js";
import { isMetric } from "./axes.js";
import { fetchJson } from "./api.js";
import { root } from "../addresses.js";

export class Panel {
  constructor(grid, element) {
    this.grid = grid;
    this.element = element;
    this.button = grid.element.querySelector("[data-panel-button]");
    this.button.addEventListener("click", () => this.toggle());
    element.addEventListener("toggle", (event) => this.button.setAttribute("aria-expanded", String(event.newState === "open")));
    element.addEventListener("change", (event) => this.changed(event.target));
    element.addEventListener("click", (event) => this.clicked(event.target.closest("button")));
    element.addEventListener("submit", (event) => this.submitted(event));
  }

  get layout() {
    return this.grid.layout;
  }

  field(name) {
    return this.element.querySelector(`[name="${name}"]`);
  }

  toggle() {
    if (this.element.matches(":popover-open")) return this.element.hidePopover();
    this.element.showPopover();
    const box = this.button.getBoundingClientRect();
    this.element.style.left = `${Math.max(Math.min(box.right - this.element.offsetWidth, innerWidth - this.element.offsetWidth - 8), 8)}px`;
    this.element.style.top = `${Math.min(box.bottom + 4, Math.max(innerHeight - this.element.offsetHeight - 8, 8))}px`;
    this.showHidden();
    this.loadShared();
  }

  // ---- what is chosen

  show() {
    const { kind } = this.layout.get("smoothing");
    const values = {
      smoothing_kind: kind,
      colour_by: this.layout.get("colour_by"),
      band: this.layout.get("band"),
      columns: String(this.layout.get("columns")),
      over: isMetric(this.grid.axis) ? this.grid.axis.slice("metric:".length) : "",
    };
    for (const [name, value] of Object.entries(values)) this.field(name).value = value;
    this.field("x_scale").checked = this.layout.get("x_scale") === "log";
    this.field("ignore_outliers").checked = this.layout.get("ignore_outliers");
    this.layout.get("group_by").forEach((key, i) => (this.field(`group_${i}`).value = key));
    for (let i = this.layout.get("group_by").length; i < 3; i++) this.field(`group_${i}`).value = "";
  }

  changed({ name, value, checked }) {
    const acts = {
      smoothing_kind: () => this.grid.choose("smoothing", { ...this.layout.get("smoothing"), kind: value }),
      colour_by: () => this.grid.choose("colour_by", value.trim()),
      band: () => this.grid.choose("band", value),
      columns: () => this.chooseColumns(Number(value)),
      over: () => this.grid.choose("axis", value.trim() ? `metric:${value.trim()}` : "step"),
      x_scale: () => this.grid.choose("x_scale", checked ? "log" : "linear"),
      ignore_outliers: () => this.grid.choose("ignore_outliers", checked),
    };
    if (name?.startsWith("group_")) this.chooseGroups();
    else acts[name]?.();
    if (name === "smoothing_kind") this.grid.controls.showSmoothing();
  }

  chooseColumns(columns) {
    this.layout.set("columns", columns);
    this.grid.arrangement.apply();
  }

  chooseGroups() {
    const keys = [0, 1, 2].map((i) => this.field(`group_${i}`).value.trim()).filter(Boolean);
    this.grid.choose("group_by", [...new Set(keys)]);
  }

  clicked(button) {
    const act = button?.dataset.panelAct;
    if (act === "show") this.grid.arrangement.hide(button.dataset.metric, false);
    else if (act === "open-layout") this.openShared(button.dataset.layout);
    else if (act === "delete-layout") this.deleteShared(button.dataset.layout, button.dataset.name);
    else if (act === "reset") this.reset();
    else if (act === "close") this.element.hidePopover();
  }

  submitted(event) {
    event.preventDefault();
    if (event.target.matches("[data-expression-form]")) this.addExpression(event.target);
    else if (event.target.matches("[data-layout-form]")) this.share(event.target);
  }

  // ---- expressions

  // The server reads it before it is kept: it knows the grammar, and says where it ends.
  async addExpression(form) {
    const text = form.elements.expression.value.trim();
    const name = form.elements.expression_name.value.trim() || text;
    const problem = form.querySelector("[data-problem]");
    problem.textContent = "";
    if (!text) return;
    try {
      const search = new URLSearchParams({ runs: this.grid.runIds().slice(0, 1).join(",") || "0", expression: text, pixels: 2 });
      await fetchJson(`${root}/api/v1/curves?${search}`);
    } catch (error) {
      problem.textContent = error.message;
      form.elements.expression.setAttribute("aria-invalid", "true");
      return;
    }
    form.elements.expression.removeAttribute("aria-invalid");
    const others = this.layout.get("expressions").filter((one) => one.text !== text);
    this.layout.set("expressions", [...others, { name: name.slice(0, 200), text }]);
    form.reset();
    this.grid.arrangement.apply();
    this.grid.sections.find((section) => section.entries.some(({ spec }) => spec.metric === text))?.element.scrollIntoView({ block: "nearest" });
  }

  // ---- hidden charts

  showHidden() {
    const hidden = this.layout.get("hidden");
    const list = this.element.querySelector("[data-hidden-charts]");
    list.parentElement.hidden = hidden.length === 0;
    list.replaceChildren(...hidden.map((metric) => row(metric, { panelAct: "show", metric }, "Show")));
  }

  // ---- layouts

  async loadShared() {
    if (!this.layout.isKeptByServer) return;
    const list = this.element.querySelector("[data-shared-layouts]");
    const answer = await callApi("GET", `/layouts?${new URLSearchParams({ project: this.grid.project })}`).catch(() => null);
    if (!answer) return;
    list.replaceChildren(...answer.shared.map((layout) => sharedRow(layout)));
  }

  async share(form) {
    const name = form.elements.layout_name.value.trim();
    if (!name) return;
    try {
      const made = await callApi("POST", `/layouts?${new URLSearchParams({ project: this.grid.project })}`, { name, layout: this.layout.values });
      form.reset();
      this.showAddress(made.id);
      showToast(`Shared as ${name}. The address of this page now opens it.`);
      this.loadShared();
    } catch (error) {
      showToast(error.message, { kind: "failed" });
    }
  }

  async openShared(id) {
    try {
      const { layout, name } = await callApi("GET", `/layouts/${encodeURIComponent(id)}`);
      const before = this.layout.values;
      this.layout.replace(layout);
      this.grid.applyLayout();
      this.showAddress(id);
      showToast(`The charts stand as in ${name}.`, { action: { label: "Undo", run: () => this.goBack(before) } });
    } catch (error) {
      showToast(error.message, { kind: "failed" });
    }
  }

  async deleteShared(id, name) {
    try {
      await callApi("DELETE", `/layouts/${encodeURIComponent(id)}`);
      showToast(`${name} is no longer shared.`);
      this.loadShared();
    } catch (error) {
      showToast(error.message, { kind: "failed" });
    }
  }

  reset() {
    const before = this.layout.values;
    this.layout.replace({});
    this.grid.applyLayout();
    this.showHidden();
    showToast("The charts stand as for somebody new.", { action: { label: "Undo", run: () => this.goBack(before) } });
  }

  goBack(values) {
    this.layout.replace(values);
    this.grid.applyLayout();
    this.showHidden();
  }

  // The page's address opens the layout for whoever it is sent to.
  showAddress(id) {
    const address = new URL(location.href);
    address.searchParams.set("layout", id);
    history.replaceState(history.state, "", address);
  }
}

function sharedRow({ id, name, owner, may_change: mayChange }) {
  const element = row(owner ? `${name}, by ${owner}` : name, { panelAct: "open-layout", layout: id }, "Open");
  if (mayChange) element.append(button("Delete", { panelAct: "delete-layout", layout: id, name }));
  return element;
}

function row(words, data, label) {
  const element = document.createElement("li");
  const text = document.createElement("span");
  text.textContent = words;
  text.title = words;
  element.append(text, button(label, data));
  return element;
}

function button(label, data) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "button button-quiet";
  element.textContent = label;
  Object.assign(element.dataset, data);
  return element;
}
