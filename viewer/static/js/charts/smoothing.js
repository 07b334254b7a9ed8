// Exponential smoothing by x distance, without the bias towards 0 at the start.

// Points apart by `unit` weigh on each other by `strength`; points n units apart by strength ** n. So a thinned curve,
// whose points lie unevenly, looks as the whole one would. A value that is not finite stays a gap and does not count.
export function smooth(xs, ys, strength, unit) {
  const result = new Float64Array(ys.length);
  let sum = 0;
  let weight = 0;
  let last = NaN;
  for (let i = 0; i < ys.length; i++) {
    const y = ys[i];
    if (!Number.isFinite(y)) {
      result[i] = NaN;
      continue;
    }
    const distance = Number.isNaN(last) ? 1 : Math.max(xs[i] - last, 0) / unit;
    const kept = strength ** distance;
    // What a stretch of x says weighs by its length, so that two points of one pixel count no more than one did.
    const share = 1 - kept || 1 - strength;
    sum = sum * kept + y * share;
    weight = weight * kept + share;
    result[i] = sum / weight;
    last = xs[i];
  }
  return result;
}

// The distance that counts as one: that of neighbours in the whole curve, but never less than a 300th of its width,
// since on a million points the slider would otherwise do nothing that can be seen.
export function smoothingUnit(span, total) {
  if (!(span > 0)) return 1;
  return Math.max(span / Math.max(total - 1, 1), span / 300);
}
