// The map of marks at the console's right edge: where in the loaded lines stderr, failures and hits are.

const MARK_PIXELS = 3;
let wanted = false;

export function drawMap(map, scroll, lines) {
  if (wanted) return;
  wanted = true;
  requestAnimationFrame(() => {
    wanted = false;
    redraw(map, scroll, lines);
  });
}

function redraw(map, scroll, lines) {
  const slots = Math.max(1, Math.floor(map.clientHeight / MARK_PIXELS));
  const kinds = new Array(slots).fill("");
  const rank = { "": 0, "is-stderr": 1, "is-hit": 2, "is-failure": 3 };
  const height = scroll.scrollHeight || 1;
  if (scroll.scrollHeight <= scroll.clientHeight) {
    map.replaceChildren(); // all of it is in sight
    return;
  }
  for (const line of lines.querySelectorAll(".is-stderr, .is-failure, .console-line:has(mark)")) {
    if (line.offsetParent === null) continue;
    const slot = Math.min(slots - 1, Math.floor((line.offsetTop / height) * slots));
    const kind = line.querySelector("mark") ? "is-hit" : line.classList.contains("is-failure") ? "is-failure" : "is-stderr";
    if (rank[kind] > rank[kinds[slot]]) kinds[slot] = kind;
  }
  const marks = document.createDocumentFragment();
  kinds.forEach((kind, slot) => {
    if (!kind) return;
    const mark = document.createElement("span");
    mark.className = kind;
    mark.style.top = `${(slot / slots) * 100}%`;
    marks.append(mark);
  });
  map.replaceChildren(marks);
  map.onclick = (event) => {
    const share = (event.clientY - map.getBoundingClientRect().top) / map.clientHeight;
    scroll.scrollTop = share * scroll.scrollHeight - scroll.clientHeight / 2;
  };
}
