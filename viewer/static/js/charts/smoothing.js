// Exponential smoothing without the bias towards 0 at the start, by points as TensorBoard does it, or by x distance.

export function smooth(xs, ys, { kind, strength }, unit) {
  return kind === "ema" ? smoothByPoints(ys, strength) : smoothByDistance(xs, ys, strength, unit);
}

// TensorBoard's: each point weighs on the next by `strength`, however far apart they are. Divided by what the weights
// sum up to, so that the first points are not drawn towards 0. A value that is not finite stays a gap and does not count.
export function smoothByPoints(ys, strength) {
  const result = new Float64Array(ys.length);
  let last = 0;
  let left = 1; // strength ** count
  for (let i = 0; i < ys.length; i++) {
    if (!Number.isFinite(ys[i])) {
      result[i] = NaN;
      continue;
    }
    last = last * strength + (1 - strength) * ys[i];
    left *= strength;
    result[i] = last / (1 - left);
  }
  return result;
}

// Points apart by `unit` weigh on each other by `strength`; points n units apart by strength ** n. So a thinned curve,
// whose points lie unevenly, looks as the whole one would. A value that is not finite stays a gap and does not count.
export function smoothByDistance(xs, ys, strength, unit) {
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
