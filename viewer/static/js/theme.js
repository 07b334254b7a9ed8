// Sets the remembered theme before the first paint: loaded without defer or type=module on purpose, because the
// content security policy forbids inline scripts and a late attribute would flash the other theme.
(() => {
  const KEY = "cloister.theme";
  const root = document.documentElement;

  function remembered() {
    try {
      return localStorage.getItem(KEY);
    } catch {
      return null; // storage switched off: the system's wish decides
    }
  }

  function shown() {
    return root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  }

  function announce() {
    for (const button of document.querySelectorAll("[data-theme-switch]")) {
      const next = shown() === "dark" ? "light" : "dark";
      const words = `Switch to the ${next} theme`;
      button.setAttribute("aria-label", words);
      button.title = words;
    }
    document.dispatchEvent(new CustomEvent("cloister:theme-changed", { detail: { theme: shown() } }));
  }

  const theme = remembered();
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", announce);
  document.addEventListener("DOMContentLoaded", announce);
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element) || !event.target.closest("[data-theme-switch]")) return;
    root.dataset.theme = shown() === "dark" ? "light" : "dark";
    try {
      localStorage.setItem(KEY, root.dataset.theme);
    } catch {
      // the switch still works for this page
    }
    announce();
  });
})();
