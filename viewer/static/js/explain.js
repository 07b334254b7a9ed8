// The Explain page: brushes on parallel coordinates, by pointer and by numbers, and the query that they amount to.
const FAINT = 0.035;
const PLAIN = 0.55;
const STRONG = 0.8;
const HALF_WIDTH = 0.09; // of the space between two axes
const REACH = 0.35;
const MISSING = -0.12;

class Brushes {
  constructor(card, view) {
    this.card = card;
    this.view = view;
    this.bar = document.querySelector("[data-axes]");
    this.axes = JSON.parse(this.bar.dataset.axes);
    this.chosen = new Map(); // place of the axis -> [low, high] between 0 and 1
    const named = (name) => view.model.document.get_model_by_name(name);
    this.lines = named("lines_source");
    this.marks = named("brush_source");
    const plot = card.querySelector("[data-figure-plot]");
    plot.addEventListener("pointerdown", (event) => this.begin(event));
    plot.addEventListener("pointermove", (event) => this.move(event));
    for (const end of ["pointerup", "pointercancel"]) plot.addEventListener(end, () => this.finish());
    this.bar.querySelector("[data-brush-clear]").addEventListener("click", () => this.clear());
    this.fillRows();
  }

  // Where the pointer is: the nearest axis, and the place on it.
  at(event) {
    const box = this.view.el.getBoundingClientRect();
    const { left, right, top, bottom } = this.view.frame.bbox;
    const { x_range: across, y_range: up } = this.view.model;
    const x = across.start + ((event.clientX - box.left - left) / (right - left)) * (across.end - across.start);
    const y = up.end - ((event.clientY - box.top - top) / (bottom - top)) * (up.end - up.start);
    const axis = Math.min(Math.max(Math.round(x), 0), this.axes.length - 1);
    return { axis, y, near: Math.abs(x - axis) <= REACH };
  }

  begin(event) {
    if (event.button !== 0) return;
    const { axis, y, near } = this.at(event);
    if (!near || y < MISSING - 0.05 || y > 1.05) return;
    event.preventDefault();
    event.currentTarget.setPointerCapture(event.pointerId);
    this.drag = { axis, from: y, moved: false };
  }

  move(event) {
    if (!this.drag) return;
    const { y } = this.at(event);
    if (Math.abs(y - this.drag.from) > 0.01) this.drag.moved = true;
    if (!this.drag.moved) return;
    this.set(this.drag.axis, Math.min(y, this.drag.from), Math.max(y, this.drag.from));
  }

  // A click without a drag takes the axis' brush away.
  finish() {
    if (this.drag && !this.drag.moved) this.unset(this.drag.axis);
    this.drag = null;
  }

  set(axis, low, high) {
    this.chosen.set(axis, [Math.max(low, MISSING - 0.02), Math.min(high, 1)]);
    this.apply();
  }

  unset(axis) {
    this.chosen.delete(axis);
    this.apply();
  }

  clear() {
    this.chosen.clear();
    this.apply();
  }

  apply() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const brushes = [...this.chosen];
    const ys = [...this.lines.get("ys")];
    const kept = ys.map((line) => brushes.every(([axis, [low, high]]) => line[axis] >= low && line[axis] <= high));
    const count = kept.filter(Boolean).length;
    const strong = brushes.length ? STRONG : PLAIN;
    const { data } = this.lines;
    this.lines.data = {
      ...(data instanceof Map ? Object.fromEntries(data) : data),
      alpha: kept.map((is) => (is ? strong : FAINT)),
      width: kept.map((is) => (is && brushes.length ? 1.5 : 1)),
    };
    this.marks.data = {
      left: brushes.map(([axis]) => axis - HALF_WIDTH),
      right: brushes.map(([axis]) => axis + HALF_WIDTH),
      bottom: brushes.map(([, [low]]) => low),
      top: brushes.map(([, [, high]]) => high),
    };
    this.say(count, ys.length);
    this.showRows();
  }

  say(count, total) {
    const words = this.bar.querySelector("[data-brush-words]");
    const brushed = this.chosen.size > 0;
    if (brushed) words.textContent = `${count.toLocaleString("en")} of ${total.toLocaleString("en")} runs are within the brushes.`;
    else words.textContent = "Drag along an axis to keep the runs in between; the table below does the same.";
    this.bar.querySelector("[data-brush-tools]").hidden = !brushed;
    this.bar.querySelector("[data-brush-link]").href = `${this.bar.dataset.runsPath}?${new URLSearchParams({ q: this.query() })}`;
  }

  valueAt(axis, place) {
    const { kind, low, high } = this.axes[axis];
    const value = kind === "log" ? low * (high / low) ** place : low + place * (high - low);
    return Number(value.toPrecision(4));
  }

  placeOf(axis, value) {
    const { kind, low, high } = this.axes[axis];
    return kind === "log" ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  }

  wordsWithin(axis, [low, high]) {
    const { words } = this.axes[axis];
    return words.filter((_, i) => (i + 0.5) / words.length >= low && (i + 0.5) / words.length <= high);
  }

  // What the brushes keep, in the query language: the same runs, as a table.
  query() {
    const parts = [...this.chosen].map(([axis, range]) => this.condition(axis, range)).filter(Boolean);
    const where = this.bar.dataset.where.trim();
    return [...(where ? [parts.length ? `(${where})` : where] : []), ...parts].join(" and ");
  }

  condition(axis, [low, high]) {
    const { key, kind } = this.axes[axis];
    if (high < 0) return `not ${key} exists`;
    if (kind === "words") {
      const quoted = this.wordsWithin(axis, [low, high]).map((word) => JSON.stringify(word));
      return quoted.length ? `${key} in (${quoted.join(", ")})` : "";
    }
    const bounds = [];
    if (low > 0) bounds.push(`${key} >= ${this.valueAt(axis, low)}`);
    if (high < 1) bounds.push(`${key} <= ${this.valueAt(axis, high)}`);
    return bounds.length ? bounds.join(" and ") : `${key} exists`;
  }

  // ---- the same by numbers, for keyboards and fingers

  fillRows() {
    const rows = document.querySelector("[data-brush-rows]");
    if (!rows) return;
    this.rows = this.axes.map((axis, place) => this.row(axis, place));
    rows.replaceChildren(...this.rows);
  }

  row(axis, place) {
    const row = document.createElement("div");
    row.className = "brush-row";
    const name = document.createElement("span");
    name.className = "mono";
    name.textContent = axis.title;
    name.title = axis.key;
    row.append(name);
    if (axis.kind === "words") row.append(this.wordField(axis, place));
    else row.append(this.numberField(axis, place, "at least"), this.numberField(axis, place, "at most"));
    return row;
  }

  wordField(axis, place) {
    const select = document.createElement("select");
    select.setAttribute("aria-label", `${axis.title} is`);
    select.append(new Option("any", ""), ...axis.words.map((word, i) => new Option(word, i)));
    select.addEventListener("change", () => {
      if (select.value === "") return this.unset(place);
      const half = 0.5 / axis.words.length;
      const middle = (Number(select.value) + 0.5) / axis.words.length;
      return this.set(place, middle - half * 0.8, middle + half * 0.8);
    });
    return select;
  }

  numberField(axis, place, words) {
    const input = document.createElement("input");
    input.type = "number";
    input.step = "any";
    input.placeholder = words;
    input.setAttribute("aria-label", `${axis.title} ${words}`);
    input.addEventListener("change", () => this.takeNumbers(place));
    return input;
  }

  takeNumbers(place) {
    const [low, high] = [...this.rows[place].querySelectorAll("input")].map(({ value }) => value);
    if (low === "" && high === "") return this.unset(place);
    const from = low === "" ? 0 : this.placeOf(place, Number(low));
    const to = high === "" ? 1 : this.placeOf(place, Number(high));
    return this.set(place, Number.isFinite(from) ? from : 0, Number.isFinite(to) ? to : 1);
  }

  showRows() {
    this.rows?.forEach((row, place) => {
      const range = this.chosen.get(place);
      const inputs = row.querySelectorAll("input");
      if (inputs.length === 2 && !row.contains(document.activeElement)) {
        inputs[0].value = range && range[0] > 0 ? this.valueAt(place, range[0]) : "";
        inputs[1].value = range && range[1] < 1 ? this.valueAt(place, range[1]) : "";
      }
      const select = row.querySelector("select");
      if (select) {
        const within = range ? this.wordsWithin(place, range) : [];
        select.value = within.length === 1 ? this.axes[place].words.indexOf(within[0]) : "";
      }
    });
  }
}

document.addEventListener("cloister:figure-drawn", (event) => {
  if (event.target.dataset.figure.endsWith("-parallel") && document.querySelector("[data-axes]")) {
    event.target.brushes = new Brushes(event.target, event.detail.view);
  }
});
