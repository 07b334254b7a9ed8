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
  const csv = `${root}/api/v1/points.csv?${new URLSearchParams({ metric: card.metric, runs: card.grid.runIds().join(",") })}`;
  const touch = matchMedia("(max-width: 640px), (hover: none)").matches;
  openMenu(button, [
    ...(card.fullSize ? [] : [{ label: "Full size", act: () => card.openFullSize() }]),
    { label: "View as table", act: () => openTable(card.spec.title, card.curves, card.grid.axis) },
    { label: "Download PNG", act: () => downloadPng(card) },
    { label: "Download CSV, every point", href: csv },
    ...shareItems(card),
    ...(touch ? [{ label: "Reset zoom", act: () => card.resetZoom() }, ...settingsItems(card)] : []),
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
  return [
    { title: "y axis" },
    { label: "Linear", checked: scale === "linear", act: () => card.choose({ scale: "linear" }) },
    { label: "Log", checked: scale !== "linear", act: () => card.choose({ scale: "log" }) },
    { label: "Ignore outliers", checked: card.choices.ignoreOutliers === true, act: () => card.choose({ ignoreOutliers: card.choices.ignoreOutliers !== true }) },
    ...(card.spec.smooth ? [{ title: "Line" }, { label: `Smoothing ${card.grid.smoothing.toFixed(2)}`, checked: smooth, act: () => card.choose({ smooth: !smooth }) }] : []),
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
  card.section.cards.push(large);
  large.setInView(true);
  element.querySelector("[data-chart-plot]").focus({ focusVisible: false });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  dialog.addEventListener("close", () => {
    hideHoverCard();
    document.querySelector(".hover-card")?.remove();
    card.section.cards = card.section.cards.filter((one) => one !== large);
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
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${card.metric.replaceAll(/[^\w-]+/g, "-")}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}
