// Search in the lines that are loaded: every hit is wrapped in <mark>, across the coloured words of a line. What is not
// loaded is searched at the server; `hasMore(by)` says whether there is anything before (-1) or after (1) these lines.

const HITS_LIMIT = 2000; // marked; the count goes on

export class LineSearch {
  constructor(lines, onMarks, hasMore) {
    this.lines = lines;
    this.onMarks = onMarks;
    this.hasMore = hasMore;
    this.onChange = () => {};
    this.pattern = null;
    this.broken = false;
    this.current = null;
    this.timer = 0;
  }

  /** Search for `text`, anew. */
  find(text, isPattern) {
    this.pattern = null;
    this.broken = false;
    if (text) {
      try {
        this.pattern = new RegExp(isPattern ? text : text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "giu");
      } catch {
        this.broken = true;
      }
    }
    this.run();
  }

  run() {
    this.clear(this.lines);
    this.current = null;
    if (this.pattern) for (const line of this.lines.children) this.mark(line);
    this.onMarks();
    this.onChange();
  }

  /** Search a line that came or changed. */
  refresh(line) {
    if (!this.pattern) return;
    this.clear(line);
    this.mark(line);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.onChange(), 100);
  }

  hits() {
    return [...this.lines.querySelectorAll("mark[data-hit]")].filter((mark) => mark.offsetParent !== null);
  }

  step(by) {
    const hits = this.hits();
    if (!hits.length) return null;
    const place = hits.indexOf(this.current);
    if (place >= 0 && by && !hits[place + by] && this.hasMore(by)) return null;
    const next = place < 0 ? hits.length - 1 : (place + by + hits.length) % hits.length;
    return this.select(hits[next]);
  }

  select(hit) {
    this.current?.classList.remove("is-current");
    this.current = hit;
    this.current.classList.add("is-current");
    return this.current;
  }

  summary() {
    if (this.broken) return "not a pattern";
    if (!this.pattern) return "";
    const hits = this.hits();
    if (!hits.length) return "none";
    const open = hits.length >= HITS_LIMIT || this.hasMore(-1) || this.hasMore(1);
    const all = `${Math.min(hits.length, HITS_LIMIT).toLocaleString("en")}${open ? "+" : ""}`;
    const place = hits.indexOf(this.current);
    return place < 0 ? all : `${(place + 1).toLocaleString("en")} of ${all}`;
  }

  clear(where) {
    for (const mark of [...where.querySelectorAll("mark")]) {
      const parent = mark.parentNode;
      mark.replaceWith(...mark.childNodes);
      parent.normalize();
    }
  }

  mark(line) {
    const text = line.querySelector(".console-text");
    if (this.lines.getElementsByTagName("mark").length >= HITS_LIMIT) return;
    const ranges = [];
    for (const match of text.textContent.matchAll(this.pattern)) {
      if (match[0]) ranges.push([match.index, match.index + match[0].length]);
      if (ranges.length >= 100) break;
    }
    for (const [start, end] of ranges.reverse()) this.wrap(text, start, end);
  }

  /** Wrap the characters `start` to `end` of `text`; a hit over several spans becomes one mark in each. */
  wrap(text, start, end) {
    const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
    const parts = [];
    let place = 0;
    while (walker.nextNode() && place < end) {
      const node = walker.currentNode;
      const [from, to] = [Math.max(start - place, 0), Math.min(end - place, node.length)];
      if (from < to) parts.push([node, from, to]);
      place += node.length;
    }
    parts.forEach(([node, from, to], index) => {
      const range = document.createRange();
      range.setStart(node, from);
      range.setEnd(node, to);
      const mark = document.createElement("mark");
      if (index === 0) mark.dataset.hit = "";
      range.surroundContents(mark);
    });
  }
}
