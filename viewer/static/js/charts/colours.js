// Which line has which colour: by run, as the table beside the charts has it; by a value of the runs; by group.
import { fetchRunValues } from "./api.js";
import { slotColor, slotDash } from "./tokens.js";

const MOST_SLOTS = 36;
const APART = "\u001f"; // between the values of a group

export class Colours {
  constructor(grid) {
    this.grid = grid;
    this.words = new Map(); // run id -> what it is coloured by
  }

  get layout() {
    return this.grid.layout;
  }

  // Values of the drawn runs, where colours follow them; asked for again when runs are drawn or the choice changes.
  async renew() {
    const key = this.layout.get("colour_by");
    const runs = this.grid.runIds();
    if (!key || runs.length === 0) {
      this.words.clear();
      return;
    }
    const values = await fetchRunValues(runs, [key]);
    this.words = new Map([...values].map(([run, [word]]) => [run, word]));
    for (const word of [...new Set(this.words.values())].sort(byNature)) this.slotOf(key, word);
  }

  of(curve) {
    const slot = this.slot(curve);
    return { slot, color: slotColor(slot), dash: slotDash(slot) };
  }

  slot(curve) {
    if (curve.group) return this.slotOf(this.layout.get("group_by").join(APART), curve.group.join(APART));
    const key = this.layout.get("colour_by");
    if (key && this.words.has(curve.run_id)) return this.slotOf(key, this.words.get(curve.run_id));
    return this.grid.slots.get(curve.run_id) ?? 0;
  }

  // The values that colours stand for: [{word, slot}], for the key beside the controls.
  shown() {
    const key = this.layout.get("colour_by");
    if (!key || this.layout.get("group_by").length > 0) return [];
    return [...new Set(this.words.values())].sort(byNature).map((word) => ({ word, slot: this.slotOf(key, word) }));
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

