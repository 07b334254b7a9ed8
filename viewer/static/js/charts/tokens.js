// Colours of the page's theme as canvas needs them, read from the CSS custom properties.

const COLOURS = 12;
const DASHES = [[], [5, 3], [2, 3]]; // run 1 to 12, 13 to 24, 25 to 36

let known = null;

export function tokens() {
  if (known) return known;
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  known = { text: read("--text"), text3: read("--text-3"), grid: read("--grid"), border: read("--border"), surface: read("--surface"), runs: [] };
  for (let slot = 1; slot <= COLOURS; slot++) known.runs.push(read(`--run-${slot}`));
  return known;
}

// Beyond 36 runs a line is grey.
export function slotColor(slot) {
  return slot >= 1 && slot <= COLOURS * DASHES.length ? tokens().runs[(slot - 1) % COLOURS] : tokens().text3;
}

export function slotDash(slot) {
  return DASHES[Math.floor((slot - 1) / COLOURS)] ?? [];
}

// Calls back when the theme changed, by the switch or by the system.
export function onThemeChange(callback) {
  const changed = () => {
    known = null;
    callback();
  };
  new MutationObserver(changed).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}
