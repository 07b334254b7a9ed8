// Trees of files: while a filter has words in it, folders without a match are away and the others open.

const wasOpen = new WeakMap();

document.addEventListener("input", (event) => {
  const tree = event.target.dataset?.filterList && document.getElementById(event.target.dataset.filterList);
  const folders = tree ? [...tree.querySelectorAll(".file-folder")] : [];
  const filters = event.target.value?.trim() !== "";
  for (const folder of folders) {
    if (!wasOpen.has(folder)) wasOpen.set(folder, folder.open);
    const matches = folder.querySelector("[data-filter-text]:not([hidden])") !== null;
    folder.parentElement.hidden = filters && !matches;
    folder.open = filters ? matches : wasOpen.get(folder);
    if (!filters) wasOpen.delete(folder);
  }
});
