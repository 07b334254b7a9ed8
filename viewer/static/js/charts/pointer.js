// What a pointer and a keyboard do on a plot: hover, drag to zoom, Shift + drag to measure, Ctrl + wheel, double click,
// tap, arrows, r to measure from the crosshair.

const DRAG_STARTS = 5; // pixels; less is a click

// `plot` is the element, `chart` has frame(), hover(x | null, y, how), zoom(low, high), resetZoom(), measure(low, high),
// xAt(pixel), pixelAt(x), range().
export function followPointer(plot, chart) {
  const overlay = plot.querySelector("[data-chart-overlay]");
  let drag = null;
  let frameRequest = 0;

  function inside(event) {
    const box = plot.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  plot.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const at = inside(event);
    cancelAnimationFrame(frameRequest);
    frameRequest = requestAnimationFrame(() => {
      if (drag) stretch(at);
      else chart.hover(at.x, at.y, "pointer");
    });
  });

  plot.addEventListener("pointerleave", (event) => {
    cancelAnimationFrame(frameRequest);
    if (event.pointerType !== "touch" && !drag) chart.hover(null);
  });

  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || !chart.ready()) return;
    if (event.target.closest("button")) return;
    drag = { from: inside(event).x, box: null, measures: event.shiftKey || chart.isMeasuring() };
    plot.setPointerCapture(event.pointerId);
  });

  plot.addEventListener("pointerup", (event) => {
    if (event.pointerType === "touch") {
      const at = inside(event);
      chart.hover(at.x, at.y, "tap");
      return;
    }
    const done = drag;
    drag = null;
    if (!done?.box) return;
    done.box.remove();
    const { left, right } = chart.frame();
    const ends = [done.from, inside(event).x].map((x) => Math.min(Math.max(x, left), right)).sort((a, b) => a - b);
    if (ends[1] - ends[0] < DRAG_STARTS) return;
    if (done.measures) chart.measure(chart.xAt(ends[0]), chart.xAt(ends[1]));
    else chart.zoom(chart.xAt(ends[0]), chart.xAt(ends[1]));
  });

  plot.addEventListener("pointercancel", () => {
    drag?.box?.remove();
    drag = null;
  });

  function stretch(at) {
    if (!drag.box) {
      if (Math.abs(at.x - drag.from) < DRAG_STARTS) return;
      chart.hover(null);
      drag.box = document.createElement("div");
      drag.box.className = drag.measures ? "chart-selection is-measuring" : "chart-selection";
      overlay.append(drag.box);
    }
    const { left, right, top, height } = chart.frame();
    const [low, high] = [drag.from, at.x].map((x) => Math.min(Math.max(x, left), right)).sort((a, b) => a - b);
    Object.assign(drag.box.style, { left: `${low}px`, width: `${high - low}px`, top: `${top}px`, height: `${height}px` });
  }

  plot.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey || !chart.ready()) return; // alone, the wheel scrolls the page
      event.preventDefault();
      const { left, right } = chart.frame();
      const middle = Math.min(Math.max(inside(event).x, left), right);
      const factor = Math.exp(Math.max(Math.min(event.deltaY, 120), -120) / 300);
      chart.zoom(chart.xAt(middle - (middle - left) * factor), chart.xAt(middle + (right - middle) * factor));
    },
    { passive: false },
  );

  plot.addEventListener("dblclick", (event) => {
    if (!event.target.closest("button")) chart.resetZoom();
  });

  plot.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target !== plot) return;
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      event.preventDefault();
      chart.step(event.key === "ArrowRight" ? 1 : -1, event.shiftKey);
    } else if (event.key === "r") {
      event.preventDefault();
      chart.measureFromCursor();
    } else if (event.key === "f") {
      event.preventDefault();
      chart.openFullSize();
    } else if (event.key === "Escape") {
      chart.endMeasuring();
      chart.hover(null);
    }
  });
  plot.addEventListener("blur", () => chart.hover(null));
}
