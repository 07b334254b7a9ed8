// The comparison: its link with colours and all, its parts that belong together.

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element && event.target.closest("[data-copy-address]");
  if (!button) return;
  button.dataset.copy = new URL(button.dataset.copyAddress, location.href).href; // dialogs.js copies it
}, { capture: true });
