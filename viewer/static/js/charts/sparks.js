// Spark lines of a table's rows: one request for all rows that have none yet.
import { root } from "../addresses.js";
import { fetchJson } from "./api.js";

export async function fillSparks() {
  for (const table of document.querySelectorAll("[data-sparks]")) {
    const metric = table.dataset.sparks;
    const waiting = [...table.querySelectorAll("[data-spark-run]:not([data-filled])")];
    if (!metric || waiting.length === 0) continue;
    const byRun = new Map();
    for (const spark of waiting) {
      spark.dataset.filled = "";
      byRun.set(spark.dataset.sparkRun, [...(byRun.get(spark.dataset.sparkRun) ?? []), spark]);
    }
    const answer = await fetchJson(`${root}/api/v1/sparks?${new URLSearchParams({ metric, runs: [...byRun.keys()].join(",") })}`).catch(() => null);
    for (const { run_id, path } of answer?.sparks ?? []) {
      for (const spark of byRun.get(String(run_id)) ?? []) spark.firstElementChild.setAttribute("d", path);
    }
  }
}
