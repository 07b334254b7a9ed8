// Where a page hears of changes: from the stream that all tabs of this browser share, from one of its own where browsers
// share none, by asking where nothing can be pushed. A hidden page listens to nothing, and hears what it missed when it
// is looked at again.
import { root } from "./addresses.js";

const HIDDEN_MS = 5000; // who only changes tabs for a moment stays
const PRESENT_MS = 30000;
const MARGIN_MS = 5000; // between what the server had told when it made this page and when we asked for it
const POLL_MS = 2500;
const POLL_IDLE_MS = 10000; // the longest pause, where nothing changes
const WORKER_NAME = "cloister-live-1"; // a worker lives on while any tab is open: another protocol needs another name

export class LiveSource {
  // onChange({run_id, project, status, ...}); onGap(): something may have gone unheard.
  constructor({ project, since, onChange, onGap }) {
    Object.assign(this, { project, since, onChange, onGap, place: "", stop: null, leaving: 0, pushes: true });
    this.loaded = performance.timeOrigin - MARGIN_MS;
    document.addEventListener("visibilitychange", () => this.#follow());
    addEventListener("pagehide", () => this.#end());
    addEventListener("pageshow", (event) => event.persisted && this.#follow());
    this.#follow();
  }

  #follow() {
    clearTimeout(this.leaving);
    if (document.hidden) this.leaving = setTimeout(() => this.#end(), HIDDEN_MS);
    else if (!this.stop) this.#begin();
  }

  #begin() {
    if (!this.pushes) this.#poll();
    else if (window.SharedWorker) this.#share();
    else this.#listen();
  }

  #end() {
    this.stop?.();
    this.stop = null;
    this.loaded = Date.now(); // a page that is looked at again looks anew at everything: live.js
    delete document.documentElement.dataset.live;
  }

  #share() {
    let worker;
    try {
      worker = new SharedWorker(new URL("./live_worker.js", import.meta.url), { name: WORKER_NAME });
    } catch {
      this.#listen(); // a browser that keeps workers from this page
      return;
    }
    const { port } = worker;
    const { project, since, loaded } = this;
    const say = (kind) => port.postMessage({ kind, root, project, since, loaded });
    const present = setInterval(() => say("present"), PRESENT_MS);
    this.stop = () => {
      clearInterval(present);
      say("leave");
      port.close();
    };
    worker.onerror = () => {
      clearInterval(present);
      this.#listen();
    };
    port.onmessage = ({ data }) => this.#hear(data.kind, data.data, data.place);
    say("watch");
  }

  #listen() {
    const asked = { ...(this.place ? { after: this.place } : this.since && { since: this.since }), ...(this.project && { project: this.project }) };
    const source = new EventSource(`${root}/api/v1/live?${new URLSearchParams(asked)}`);
    this.stop = () => source.close();
    source.onmessage = (event) => this.#hear("change", event.data, event.lastEventId);
    for (const kind of ["gap", "place"]) {
      source.addEventListener(kind, (event) => this.#hear(kind, event.data, event.lastEventId));
    }
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.#hear("closed");
    };
  }

  #hear(kind, data, place) {
    if (kind === "closed") {
      this.#end();
      this.pushes = false;
      if (!document.hidden) this.#poll();
      return;
    }
    document.documentElement.dataset.live = "pushed";
    this.place = place || this.place;
    if (kind === "gap") this.onGap();
    if (kind !== "change") return;
    try {
      this.onChange(JSON.parse(data));
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
  }

  // `since` is the server's own word for how far we have heard: its clock and ours may differ.
  #poll(since = this.since ?? null, pause = POLL_MS) {
    let timer = 0;
    let ended = false;
    this.stop = () => {
      ended = true;
      clearTimeout(timer);
    };
    const ask = async () => {
      const query = new URLSearchParams({ ...(since && { since }), ...(this.project && { project: this.project }) });
      try {
        const answer = await fetch(`${root}/api/v1/changes?${query}`);
        if (answer.status === 401 || answer.status === 404) return; // signed out: nothing is told any more
        if (answer.ok) {
          const found = await answer.json();
          this.since = since = found.next_since;
          pause = found.changes.length ? POLL_MS : Math.min(pause * 1.5, POLL_IDLE_MS);
          found.changes.forEach((change) => this.onChange(change));
        }
      } catch {
        pause = POLL_IDLE_MS; // the server is away
      }
      if (!ended) timer = setTimeout(ask, pause);
    };
    timer = setTimeout(ask, POLL_MS);
  }
}
