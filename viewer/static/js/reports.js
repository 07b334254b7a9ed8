// Reports: blocks that follow their runs, printing in light colours, and the editor's buttons.
const REFRESH_MS = 15000; // a figure is drawn anew at most this often, however fast its runs log
const DRAWN_WITHIN_MS = 10000;
const MOST_TRIES = 4;

// ---- blocks follow their runs

let changed = false;
let last = Date.now();

document.addEventListener("cloister:run-changed", () => {
  changed = true;
});

if (document.querySelector("[data-report]")) setInterval(refreshBlocks, 1000);

function refreshBlocks() {
  if (!changed || document.hidden || Date.now() - last < REFRESH_MS) return;
  changed = false;
  last = Date.now();
  for (const block of document.querySelectorAll(".report-block[data-block-src]")) refresh(block);
}

// A block that did not come is asked for again, later each time: meanwhile the viewer may have been busy, or away.
const tried = new Map();
for (const failure of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(failure, ({ target, detail }) => {
    const block = target instanceof Element && target.closest(".report-block[data-block-src]");
    const count = block ? (tried.get(block.id) ?? 0) + 1 : Infinity;
    if (count > MOST_TRIES || (detail.xhr?.status ?? 503) < 500) return;
    tried.set(block.id, count);
    setTimeout(() => globalThis.htmx.ajax("GET", block.dataset.blockSrc, { target: block, swap: "outerHTML" }), count * 2000);
  });
}

// The new block takes the old one's place once its figure is drawn, so that nothing blinks. What is unchanged stays.
async function refresh(block) {
  const answer = await fetch(block.dataset.blockSrc, { headers: { "HX-Request": "true" } }).catch(() => null);
  if (!answer?.ok || block.contains(document.activeElement)) return;
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = parsed.querySelector(".report-block");
  if (!fresh || sameText(fresh, block)) return;
  const coming = document.adoptNode(fresh);
  if (!coming.querySelector("[data-figure]")) return void block.replaceWith(coming);
  coming.dataset.coming = "";
  coming.style.width = `${block.clientWidth}px`;
  block.after(coming);
  const take = () => {
    if (!coming.isConnected || coming.dataset.coming === undefined) return;
    delete coming.dataset.coming;
    coming.style.width = "";
    block.remove();
  };
  coming.addEventListener("cloister:figure-drawn", take, { once: true });
  setTimeout(take, DRAWN_WITHIN_MS);
  document.dispatchEvent(new CustomEvent("cloister:refreshed"));
}

// Bokeh numbers its models anew in each answer: two answers are compared without these numbers.
function sameText(fresh, block) {
  const [one, two] = [fresh, block].map((element) => {
    const json = element.querySelector("[data-figure-json]");
    return json ? json.content.textContent.replaceAll(/"[pc]?\d[\w-]*"/g, '""') : element.textContent;
  });
  return one === two;
}

// ---- on paper

document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-print]")) printInLight();
});

// Charts are canvases: they have to be painted in light colours before the browser takes the page.
async function printInLight() {
  const root = document.documentElement;
  const before = root.dataset.theme;
  root.dataset.theme = "light";
  globalThis.dispatchEvent(new Event("beforeprint"));
  await allDrawn();
  globalThis.print();
  if (before === undefined) delete root.dataset.theme;
  else root.dataset.theme = before;
}

function allDrawn() {
  return new Promise((resolve) => {
    const began = Date.now();
    const look = () => {
      const waiting = document.querySelector("[data-figure]:not([data-drawn]), .report-skeleton");
      if (waiting && Date.now() - began < DRAWN_WITHIN_MS) setTimeout(look, 100);
      else setTimeout(resolve, 300);
    };
    look();
  });
}

// ---- the editor

const BLOCKS = {
  chart: "metric: val/loss\nquery: status = completed\nlimit: 8",
  table: "query: status = completed\ncolumns: config.lr, metrics.val/acc\nsort: -metrics.val/acc\nlimit: 10",
  runs: "name: best\nquery: metrics.val/acc > 0.9",
  explain: "view: parallel\nquery: status = completed",
};

const editor = document.querySelector("[data-report-editor]");
if (editor) {
  const text = editor.querySelector("textarea");
  const written = text.value;
  let leaving = false;
  editor.addEventListener("submit", () => {
    leaving = true;
  });
  addEventListener("beforeunload", (event) => {
    if (!leaving && text.value !== written) event.preventDefault();
  });
  for (const button of editor.querySelectorAll("[data-insert]")) {
    button.addEventListener("click", () => insert(text, button.dataset.insert));
  }
}

function insert(text, kind) {
  const before = text.value.slice(0, text.selectionEnd);
  const gap = before === "" || before.endsWith("\n\n") ? "" : before.endsWith("\n") ? "\n" : "\n\n";
  const block = `${gap}\`\`\`${kind}\n${BLOCKS[kind]}\n\`\`\`\n\n`;
  text.setRangeText(block, text.selectionEnd, text.selectionEnd, "end");
  text.focus();
  text.dispatchEvent(new Event("input", { bubbles: true }));
}
