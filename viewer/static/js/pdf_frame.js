// Inside the frame: draws the pages of the PDF that the page around it sends. The frame has no origin; its policy lets it
// load these scripts and nothing more.
import "./pdf.worker.min.mjs"; // on this thread: a frame without an origin can start no worker
import { getDocument } from "./pdf.min.mjs";

const MOST_DRAWN = 200;

addEventListener("message", async (event) => {
  if (event.source !== parent || !(event.data instanceof ArrayBuffer)) return;
  try {
    // No evaluation, no forms, no fonts or tables of ours to fetch.
    const pdf = await getDocument({ data: event.data, verbosity: 0, isEvalSupported: false, enableXfa: false, useWasm: false, useWorkerFetch: false, disableAutoFetch: true, stopAtErrors: false }).promise;
    parent.postMessage(pdf.numPages, "*");
    const observer = new IntersectionObserver((entries) => entries.forEach((entry) => entry.isIntersecting && draw(pdf, entry.target, observer)), { rootMargin: "600px" });
    const first = (await pdf.getPage(1)).getViewport({ scale: 1 });
    for (let number = 1; number <= Math.min(pdf.numPages, MOST_DRAWN); number++) {
      const canvas = document.createElement("canvas");
      canvas.dataset.page = number;
      canvas.style.aspectRatio = `${first.width} / ${first.height}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Page ${number} of ${pdf.numPages}`);
      document.body.append(canvas);
      observer.observe(canvas);
    }
  } catch {
    parent.postMessage("damaged", "*");
  }
});

async function draw(pdf, canvas, observer) {
  observer.unobserve(canvas);
  const page = await pdf.getPage(Number(canvas.dataset.page));
  const plain = page.getViewport({ scale: 1 });
  const scale = Math.min((canvas.clientWidth / plain.width) * Math.min(devicePixelRatio, 2), 4000 / plain.width, 4000 / plain.height);
  const viewport = page.getViewport({ scale });
  canvas.width = viewport.width;
  canvas.height = viewport.height;
  canvas.style.aspectRatio = `${plain.width} / ${plain.height}`;
  await page.render({ canvas, viewport }).promise.catch(() => {});
  canvas.dataset.drawn = "";
}

parent.postMessage("ready", "*");
