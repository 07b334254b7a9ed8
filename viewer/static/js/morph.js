// Makes a part of the page equal to a freshly rendered one by changing only what differs, so that scroll places, focus,
// selection and what lies under the pointer stay. Children are matched by data-key or id, else by their order.

export function morph(from, to) {
  if (from.nodeType !== to.nodeType || from.nodeName !== to.nodeName) {
    from.replaceWith(to);
    return to;
  }
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return from;
  }
  if (from.hasAttribute("data-morph-skip")) return from; // a script of ours fills it
  morphAttributes(from, to);
  morphChildren(from, to);
  return from;
}

function morphAttributes(from, to) {
  const isCurrent = from.classList.contains("is-current"); // the keyboard's row
  for (const { name, value } of [...to.attributes]) {
    if (from.getAttribute(name) !== value && !isTheirs(from, name)) from.setAttribute(name, value);
  }
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !isTheirs(from, name)) from.removeAttribute(name);
  }
  if (isCurrent) from.classList.add("is-current");
  if (from instanceof HTMLInputElement && from.type === "hidden") from.value = to.value;
}

// What the person did to an element is not the server's to take back.
function isTheirs(element, name) {
  if (name === "open") return element instanceof HTMLDetailsElement || element instanceof HTMLDialogElement;
  if (name === "style") return element.hasAttribute("data-keep-style");
  return (name === "value" || name === "checked") && element === document.activeElement;
}

function keyOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.dataset.key || node.id || null : null;
}

function morphChildren(from, to) {
  const keyed = new Map();
  for (const child of from.childNodes) {
    const key = keyOf(child);
    if (key) keyed.set(key, child);
  }
  let place = from.firstChild;
  for (const wanted of [...to.childNodes]) {
    const key = keyOf(wanted);
    let found = key ? keyed.get(key) : place;
    if (!key) while (found && (keyOf(found) || found.nodeName !== wanted.nodeName)) found = found.nextSibling;
    if (!found) {
      from.insertBefore(wanted, place);
      continue;
    }
    if (found !== place) from.insertBefore(found, place);
    else place = place.nextSibling;
    morph(found, wanted);
    if (key) keyed.delete(key);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

// hx-swap="morph": the answer's one element is morphed into the target.
export function registerWithHtmx(htmx) {
  htmx.defineExtension("morph", {
    isInlineSwap: (style) => style === "morph",
    handleSwap(style, target, fragment) {
      if (style !== "morph") return false;
      return [morph(target, fragment.firstElementChild)];
    },
  });
}
