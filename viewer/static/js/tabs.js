// The open tab is in sight where the window is too narrow for all of them.
const open = document.querySelector(".tabs [aria-current]");
const row = open?.closest(".tabs");
if (row && row.scrollWidth > row.clientWidth) {
  const [tab, window] = [open.getBoundingClientRect(), row.getBoundingClientRect()];
  if (tab.right > window.right || tab.left < window.left) row.scrollLeft += tab.left + tab.width / 2 - (window.left + window.width / 2);
}
