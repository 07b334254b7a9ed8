// Which line has which colour: by run, as the table beside the charts has it; by a value of the runs; by group.
import { fetchRunValues, groupId } from "./api.js";
import { slotColor, slotDash } from "./tokens.js";

const MOST_SLOTS = 36;
const APART = "\u001f"; // between the values of a group

export class Colours {
  constructor(grid) {
    this.grid = grid;
    this.words = new Map(); // run id -> the values that it is coloured or grouped by
  }

  get layout() {
    return this.grid.layout;
  }

  // Values of the drawn runs, where colours follow them; asked for again when runs are drawn or the choice changes.
  async renew() {
    const groups = this.grid.query().group;
    const keys = groups.length > 0 ? groups : [this.layout.get("colour_by")].filter(Boolean);
    const runs = this.grid.runIds();
    this.words.clear();
    if (keys.length === 0 || runs.length === 0) return;
    this.words = await fetchRunValues(runs, keys);
    // In the order of the values, so that colours do not depend on which run came first.
    for (const { words } of this.shown()) this.slotOf(keys.join(APART), words.join(APART));
  }

  of(curve) {
    const slot = this.slot(curve);
    return { slot, color: slotColor(slot), dash: slotDash(slot) };
  }

  slot(curve) {
    if (curve.group) return this.slotOf(this.layout.get("group_by").join(APART), curve.group.join(APART));
    const key = this.layout.get("colour_by");
    if (key && this.words.has(curve.run_id)) return this.slotOf(key, this.words.get(curve.run_id).join(APART));
    const slot = this.grid.slots.get(curve.run_id) ?? 0;
    return slot > MOST_SLOTS ? 0 : slot; // grey
  }

  // What colours stand for beside the charts: [{words, slot, runs, id}], `id` of a group's line.
  shown() {
    const groups = this.grid.query().group;
    const key = groups.length > 0 ? groups.join(APART) : this.layout.get("colour_by");
    const found = new Map();
    for (const [run, words] of this.words) {
      const text = words.join(APART);
      if (!found.has(text)) found.set(text, { words, runs: [], id: groups.length > 0 ? groupId(words) : null });
      found.get(text).runs.push(run);
    }
    return [...found].sort(([a], [b]) => byNature(a, b)).map(([text, value]) => ({ ...value, slot: this.slotOf(key, text) }));
  }

  // A value keeps the colour that it once got: it stands in the layout.
  slotOf(key, value) {
    const known = this.layout.get("colours");
    const found = known.find((entry) => entry.key === key && entry.value === value);
    if (found) return found.slot;
    const taken = new Set(known.filter((entry) => entry.key === key).map((entry) => entry.slot));
    for (let slot = 1; slot <= MOST_SLOTS; slot++) {
      if (taken.has(slot)) continue;
      this.layout.set("colours", [...known, { key, value, slot }]);
      return slot;
    }
    return 0;
  }
}

function byNature(a, b) {
  return a.localeCompare(b, undefined, { numeric: true });
}

