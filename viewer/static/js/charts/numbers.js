// Numbers as people read them: VISUAL section 8.

const MINUS = "\u2212";
const group = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, "\u202f").replaceAll("\u202f", ",");

// A tick: just the digits that tell it from its neighbours `step` away. `short` is for a y axis, 44 px wide.
export function formatTick(value, step, { short = false } = {}) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (size >= 1e15 || size < 1e-3 || (step < 1e-4 && size < 1)) return sign + scientific(size);
  for (const [limit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= limit && (letter !== "k" || (short && size >= 1e4))) return `${sign}${trim((size / limit).toFixed(places(step / limit)))} ${letter}`;
  }
  const [whole, part] = trim(size.toFixed(places(step))).split(".");
  return sign + group(whole) + (part ? `.${part}` : "");
}

export function places(step) {
  if (!(step > 0)) return 0;
  for (let digits = 0; digits < 6; digits++) {
    if (Math.abs(Math.round(step * 10 ** digits) / 10 ** digits - step) < step * 1e-6) return digits;
  }
  return 6;
}

// Values of one card: the fewest digits, 3 to 6, that tell them apart.
export function formatValues(values) {
  const finite = values.filter(Number.isFinite);
  let shown = values.map(String);
  for (let digits = 3; digits <= 6; digits++) {
    shown = values.map((value) => formatValue(value, digits));
    if (new Set(finite.map((value) => formatValue(value, digits))).size === new Set(finite).size) break;
  }
  return shown;
}

export function formatValue(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "\u221e" : `${MINUS}\u221e`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const sign = value < 0 ? MINUS : "";
  if (size < 1e-3 || size >= 1e15) return sign + scientific(size, digits - 1);
  if (Number.isInteger(value)) return sign + group(String(size));
  const decimals = size >= 1 ? Math.max(digits - Math.floor(Math.log10(size)) - 1, 0) : digits;
  const [whole, part] = size.toFixed(decimals).split(".");
  return sign + group(whole) + (part ? `.${part}` : "");
}

export function formatCount(value) {
  return (value < 0 ? MINUS : "") + group(String(Math.abs(Math.round(value))));
}

function scientific(size, digits = 2) {
  const [mantissa, exponent] = size.toExponential(digits).split("e");
  return `${trim(mantissa)}e${exponent.replace("+", "")}`;
}

function trim(text) {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
