// What a chart card offers: settings, full size, table, downloads.
import { root } from "../addresses.js";
import { openMenu } from "./menu.js";
import { hideHoverCard } from "./hover.js";
import { openTable } from "./table.js";
import { tokens } from "./tokens.js";

export function openSettingsMenu(button, card) {
  openMenu(button, settingsItems(card));
}

export function openMoreMenu(button, card) {
  const touch = matchMedia("(max-width: 640px), (hover: none)").matches;
  openMenu(button, [
    ...(card.fullSize ? [fullScreenItem(card)] : [{ label: "Full size", act: () => card.openFullSize() }]),
    ...(touch ? [] : [{ label: "Measure a stretch", act: () => (card.measuring = "wanted") }]), // by dragging, which scrolls there
    { label: "View as table", act: () => openTable(card.spec.title, card.curves, card.grid.axis) },
    { label: "Download PNG", act: () => downloadPng(card) },
    { label: "Download SVG", act: () => downloadSvg(card) },
    { label: "Download CSV, every point", href: csvAddress(card) },
    ...shareItems(card),
    ...(card.fullSize ? [] : arrangeItems(card)),
    ...(touch ? [{ label: "Reset zoom", act: () => card.resetZoom() }, ...settingsItems(card)] : []),
  ]);
}

function csvAddress(card) {
  const search = new URLSearchParams({ [card.spec.expression ? "expression" : "metric"]: card.metric, runs: card.grid.runIds().join(",") });
  return `${root}/api/v1/points.csv?${search}`;
}

function fullScreenItem(card) {
  const dialog = card.element.closest("dialog");
  return { label: document.fullscreenElement ? "Leave full screen" : "Full screen", act: () => (document.fullscreenElement ? document.exitFullscreen() : dialog.requestFullscreen()) };
}

// What a workspace lets a person do with the place of a chart.
function arrangeItems(card) {
  const { grid } = card;
  if (!grid.isWorkspace) return [];
  const { arrangement } = grid;
  const entry = card.element.chartEntry;
  const isPinned = arrangement.isPinned(card.metric);
  return [
    { title: "Place" },
    { label: isPinned ? "Unpin" : "Pin to the top", act: () => arrangement.pin(card.metric, !isPinned) },
    { label: "Move earlier", act: () => arrangement.shift(entry, -1) },
    { label: "Move later", act: () => arrangement.shift(entry, 1) },
    { label: "Wider", act: () => arrangement.widen(entry, 1) },
    { label: "Narrower", act: () => arrangement.widen(entry, -1) },
    { label: "Taller", act: () => arrangement.heighten(entry, 1) },
    { label: "Shorter", act: () => arrangement.heighten(entry, -1) },
    card.spec.expression
      ? { label: "Delete this expression", act: () => removeExpression(card) }
      : { label: "Hide", act: () => arrangement.hide(card.metric, true) },
  ];
}

function removeExpression(card) {
  const { layout, arrangement } = card.grid;
  layout.set("expressions", layout.get("expressions").filter(({ text }) => text !== card.metric));
  arrangement.apply();
}

// What a section's button offers in a workspace.
export function openSectionMenu(button, section) {
  const { arrangement } = section.grid;
  openMenu(button, [
    { label: "Move section up", act: () => arrangement.shiftSection(section, -1) },
    { label: "Move section down", act: () => arrangement.shiftSection(section, 1) },
    { label: "Hide all its charts", act: () => section.entries.filter(({ spec }) => !spec.expression).forEach(({ spec }) => arrangement.hide(spec.metric, true)) },
  ]);
}

// On the page of a run that the person may share; its header has a link to the same place.
function shareItems(card) {
  const share = document.querySelector("[data-share-run]");
  if (!share || card.grid.runIds().length !== 1) return [];
  return [{ label: "Share this chart", href: `${share.href}?${new URLSearchParams({ kind: "chart", chart: card.metric })}` }];
}

function settingsItems(card) {
  const scale = card.scaleName();
  const smooth = card.choices.smooth !== false;
  const { strength } = card.grid.smoothing;
  const ignores = card.ignoresOutliers();
  return [
    { title: "y axis" },
    { label: "Linear", checked: scale === "linear", act: () => card.choose({ scale: "linear" }) },
    { label: "Log", checked: scale !== "linear", act: () => card.choose({ scale: "log" }) },
    { label: "Ignore outliers", checked: ignores, act: () => card.choose({ ignore_outliers: !ignores }) },
    ...(card.spec.smooth ? [{ title: "Line" }, { label: `Smoothing ${strength.toFixed(2)}`, checked: smooth, act: () => card.choose({ smooth: !smooth }) }] : []),
  ];
}

// The same chart once more, large, sharing the section's zoom and crosshair.
export function openFullSize(card, ChartCard) {
  hideHoverCard();
  const dialog = document.createElement("dialog");
  dialog.className = "chart-dialog charts";
  dialog.setAttribute("aria-label", `${card.spec.title}, full size`);
  const element = card.grid.newCardElement(card.spec);
  const full = element.querySelector('[data-chart-action="full"]');
  full.setAttribute("aria-label", "Close");
  full.title = "Close (Esc)";
  dialog.append(element);
  document.body.append(dialog);
  dialog.showModal();
  const large = new ChartCard(element, card.section, { fullSize: true });
  card.section.large.push(large);
  large.setInView(true);
  element.querySelector("[data-chart-plot]").focus({ focusVisible: false });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    hideHoverCard();
    document.querySelector(".hover-card")?.remove();
    card.section.large = card.section.large.filter((one) => one !== large);
    large.remove();
    dialog.remove();
    card.plotElement.focus({ focusVisible: false, preventScroll: true });
    card.section.hover(null, card);
  });
}

function downloadPng(card) {
  if (!card.plot) return;
  const drawn = card.plot.toCanvas();
  const ratio = drawn.width / card.canvas.clientWidth;
  const canvas = document.createElement("canvas");
  const header = Math.round(30 * ratio);
  canvas.width = drawn.width;
  canvas.height = drawn.height + header;
  const context = canvas.getContext("2d");
  context.fillStyle = tokens().surface;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = getComputedStyle(card.element).color;
  context.font = `600 ${12 * ratio}px ${getComputedStyle(document.body).fontFamily}`;
  context.fillText(card.spec.title, 12 * ratio, 20 * ratio);
  context.drawImage(drawn, 0, header);
  canvas.toBlob((blob) => save(blob, card, "png"));
}

// The drawing with its name above it, on the page's ground.
async function downloadSvg(card) {
  if (!card.plot) return;
  const drawn = new DOMParser().parseFromString(await card.plot.toSvg(), "image/svg+xml").documentElement;
  const [width, height] = [card.canvas.clientWidth, card.canvas.clientHeight];
  const namespace = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(namespace, "svg");
  const made = (name, attributes) => {
    const element = document.createElementNS(namespace, name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  Object.entries({ width, height: height + 30, viewBox: `0 0 ${width} ${height + 30}` }).forEach(([key, value]) => picture.setAttribute(key, value));
  const title = made("text", { x: 12, y: 20, "font-size": 12, "font-weight": 600, "font-family": "sans-serif", fill: tokens().text });
  title.textContent = card.spec.title;
  drawn.setAttribute("y", "30");
  picture.append(made("rect", { width: "100%", height: "100%", fill: tokens().surface }), title, document.importNode(drawn, true));
  save(new Blob([new XMLSerializer().serializeToString(picture)], { type: "image/svg+xml" }), card, "svg");
}

function save(blob, card, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${card.metric.replaceAll(/[^\w-]+/g, "-").slice(0, 80)}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
