// What somebody has chosen for a project's charts. In a workspace the server keeps it for each person; elsewhere, and
// where nothing may be changed, this browser does. Names and shapes are those of the REST API's layouts.
import { root } from "../addresses.js";
import { ApiError, callApi } from "../api_client.js";
import { showToast } from "../dialogs.js";
import { remember, remembered } from "./preferences.js";

const SAVE_AFTER_MS = 600;
const DEFAULTS = {
  axis: "step",
  x_scale: "linear",
  smoothing: { kind: "time", strength: 0.6 },
  ignore_outliers: false,
  colour_by: "",
  group_by: [],
  band: "std",
  columns: 0,
  pinned: [],
  hidden: [],
  folded: [],
  section_order: [],
  order: [],
  sizes: [],
  charts: [],
  expressions: [],
  colours: [],
};

export class Layout {
  // `kept`: what the server has of this person; null where this browser keeps it, under `name`.
  constructor({ project, name, kept = null, isKeptByServer = false }) {
    this.project = project;
    this.name = name;
    this.isKeptByServer = isKeptByServer;
    this.values = (isKeptByServer ? kept : remembered(name, null)) ?? {};
    this.timer = 0;
    addEventListener("pagehide", () => this.timer && this.save({ isLast: true }));
  }

  get(key) {
    return this.values[key] ?? DEFAULTS[key];
  }

  set(key, value) {
    this.values = { ...this.values, [key]: value };
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SAVE_AFTER_MS);
  }

  // All at once: another layout, or none.
  replace(values) {
    this.values = values;
    this.set("axis", this.get("axis"));
  }

  // Lists of entries, one for each metric, section or value: {metric: "loss", scale: "log"}.
  entry(key, field, name) {
    return this.get(key).find((entry) => entry[field] === name) ?? {};
  }

  setEntry(key, field, name, changes) {
    const others = this.get(key).filter((entry) => entry[field] !== name);
    const changed = { ...this.entry(key, field, name), ...changes, [field]: name };
    const kept = Object.fromEntries(Object.entries(changed).filter(([, value]) => value !== undefined));
    this.set(key, Object.keys(kept).length > 1 ? [...others, kept] : others);
  }

  has(key, name) {
    return this.get(key).includes(name);
  }

  toggle(key, name, wanted) {
    const others = this.get(key).filter((one) => one !== name);
    this.set(key, wanted ? [...others, name] : others);
  }

  async save({ isLast = false } = {}) {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.isKeptByServer) return remember(this.name, this.values);
    const path = `/layouts/own?${new URLSearchParams({ project: this.project })}`;
    if (isLast) return this.sendLast(path);
    try {
      await callApi("PUT", path, this.values);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 0) return; // it is tried again with the next change
      this.isKeptByServer = false; // not allowed, or too large: it holds for this page
      showToast(`The charts stay as they are on this page only. ${error.message}`, { kind: "failed" });
    }
  }

  // While the page goes away: nobody waits for the answer.
  sendLast(path) {
    const token = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
    const headers = { "Content-Type": "application/json", "X-CSRF-Token": token };
    fetch(`${root}/api/v1${path}`, { method: "PUT", headers, body: JSON.stringify(this.values), keepalive: true }).catch(() => {});
  }
}
