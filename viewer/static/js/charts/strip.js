// The system strip of a run's overview: figures and areas, renewed in place while the run is running.
import { root } from "../addresses.js";
import { fetchJson } from "./api.js";

const PAUSE_MS = 2000;
const waiting = new Set();

export function followSystemStrips() {
  document.addEventListener("cloister:run-changed", (event) => {
    const strip = document.querySelector(`[data-system-strip="${CSS.escape(String(event.detail.run_id))}"]`);
    if (!strip || waiting.has(strip)) return;
    waiting.add(strip);
    setTimeout(() => {
      waiting.delete(strip);
      renew(strip);
    }, PAUSE_MS);
  });
}

async function renew(strip) {
  const answer = await fetchJson(`${root}/api/v1/runs/${encodeURIComponent(strip.dataset.systemStrip)}/system-strip`).catch(() => null);
  for (const { metric, shown, path, area } of answer?.cells ?? []) {
    const cell = strip.querySelector(`[data-strip-metric="${CSS.escape(metric)}"]`);
    if (!cell) continue;
    cell.querySelector("b").textContent = shown;
    cell.querySelector(".system-line").setAttribute("d", path);
    cell.querySelector(".system-area").setAttribute("d", area);
  }
}
