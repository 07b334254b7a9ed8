// Charts of expressions over metrics: how they are described, and how a metric's name is written in one.

export function describeExpression(name, text) {
  return { metric: text, title: name, expression: true, unit: "", divisor: 1, scale: "linear", smooth: true, from_zero: false, ceiling: null, better: null };
}

// A name as the grammar takes it: in quotes unless it is a plain word.
export function quoteMetric(name) {
  const plain = /^[\p{L}_][\p{L}\p{N}_.]*$/u.test(name) && name !== "step" && name !== "seconds";
  return plain ? name : `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}
