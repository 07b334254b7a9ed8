// Figures that viewer/bokeh_figures.py made: drawn when they come into view, restyled with the theme, downloaded.
// Imports nothing and exports nothing: an exported report has this file in it as a plain script.
// A page's own script hears of a drawn figure by "cloister:figure-drawn" on its card, detail {view}.
(() => {
  const RUN_COLOURS = 12;
  const drawn = new Map(); // card -> {view, views}
  const coming = new WeakSet(); // cards that wait to come into view
  const inView = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        inView.unobserve(target);
        draw(target);
      }
    },
    { rootMargin: "300px" },
  );

  function token(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  // The colours that a mapper takes, of as many steps as it has: a contour has fewer than the palette.
  function palette(name, count) {
    const colours =
      name === "runs"
        ? Array.from({ length: RUN_COLOURS }, (_, i) => token(`--run-${i + 1}`))
        : token(`--palette-${name}`).split(" ");
    if (!count || count === colours.length) return colours;
    if (name === "runs") return Array.from({ length: count }, (_, i) => colours[i % colours.length]);
    return Array.from({ length: count }, (_, i) => colours[Math.round((i * (colours.length - 1)) / Math.max(count - 1, 1))]);
  }

  // What viewer/bokeh_figures.py says of tags.
  function restyle(view) {
    for (const model of view.model.document.all_models) {
      for (const tag of model.tags ?? []) {
        const [name, value] = String(tag).split("=");
        if (!value) continue;
        if (value.startsWith("--")) {
          const colour = token(value);
          if (colour) model[name] = colour;
        } else if (name === "palette") {
          model.palette = palette(value, model.palette.length);
        }
      }
    }
  }

  function loadScript(url) {
    const known = document.querySelector(`script[src="${CSS.escape(url)}"], script[src="${url}"]`);
    if (known?.dataset.loaded !== undefined || (known && globalThis.Bokeh && !/-gl\b/.test(url))) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const script = known ?? document.createElement("script");
      script.addEventListener("load", () => {
        script.dataset.loaded = "";
        resolve();
      });
      script.addEventListener("error", () => reject(new Error("The chart library could not be loaded from the viewer.")));
      if (known) return;
      script.src = url;
      document.head.append(script);
    });
  }

  let loading = Promise.resolve();

  function loadBokeh(urls) {
    loading = loading.catch(() => undefined).then(async () => {
      for (const url of urls) if (!(globalThis.Bokeh && !/-gl\b/.test(url))) await loadScript(url);
    });
    return loading;
  }

  async function draw(card) {
    const place = card.querySelector("[data-figure-plot]");
    try {
      await loadBokeh(JSON.parse(card.dataset.scripts));
      const item = JSON.parse(card.querySelector("[data-figure-json]").content.textContent);
      place.replaceChildren();
      const views = await globalThis.Bokeh.embed.embed_item(item, place);
      const view = [...views][0];
      drawn.set(card, { view, views });
      restyle(view);
      card.dataset.drawn = "";
      card.dispatchEvent(new CustomEvent("cloister:figure-drawn", { bubbles: true, detail: { view } }));
    } catch (error) {
      const words = document.createElement("p");
      words.className = "figure-failed";
      words.textContent = `This figure could not be drawn. ${error.message}`;
      place.replaceChildren(words);
      throw error;
    }
  }

  function forgetRemoved() {
    for (const [card, { views }] of drawn) {
      if (card.isConnected) continue;
      views.clear?.();
      drawn.delete(card);
    }
  }

  function mountAll() {
    forgetRemoved();
    for (const card of document.querySelectorAll("[data-figure]:not([data-drawn])")) {
      if (coming.has(card)) continue;
      coming.add(card);
      inView.observe(card);
    }
  }

  // ---- downloads

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function fileName(card, ending) {
    return `${card.dataset.figure.replaceAll(/[^\w-]+/g, "-").slice(0, 80)}.${ending}`;
  }

  // On the ground of the page: without it, dark text on a dark page would be lost.
  function savePng(card, view) {
    const figure = view.export("png", true).canvas;
    const canvas = document.createElement("canvas");
    canvas.width = figure.width;
    canvas.height = figure.height;
    const context = canvas.getContext("2d");
    context.fillStyle = token("--surface");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(figure, 0, 0);
    canvas.toBlob((blob) => save(blob, fileName(card, "png")));
  }

  async function saveSvg(card, view) {
    save(await view.export("svg", false).to_blob(), fileName(card, "svg"));
  }

  function reset(view) {
    view.reset?.();
    for (const child of view.child_views ?? []) reset(child);
  }

  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-figure-action]");
    if (!button) return;
    const card = button.closest("[data-figure]");
    const view = drawn.get(card)?.view;
    if (!view) return;
    if (button.dataset.figureAction === "png") savePng(card, view);
    else if (button.dataset.figureAction === "svg") saveSvg(card, view);
    else reset(view);
  });

  document.addEventListener("dblclick", (event) => {
    const card = event.target instanceof Element && event.target.closest("[data-figure]");
    const view = card && drawn.get(card)?.view;
    if (view) reset(view);
  });

  const restyleAll = () => {
    for (const { view } of drawn.values()) restyle(view);
  };
  new MutationObserver(restyleAll).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyleAll);
  document.addEventListener("htmx:afterSettle", mountAll);
  document.addEventListener("cloister:refreshed", mountAll);
  // On paper everything is drawn, also what nobody has scrolled to.
  globalThis.addEventListener("beforeprint", () => {
    for (const card of document.querySelectorAll("[data-figure]:not([data-drawn])")) draw(card);
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mountAll);
  else mountAll();
})();
