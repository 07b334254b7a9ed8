// What a person chose about charts, remembered in this browser.

const KEY = "cloister.charts";
export const DEFAULT_SMOOTHING = 0.6;

export function remembered(name, otherwise) {
  return readAll()[name] ?? otherwise;
}

export function remember(name, value) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...readAll(), [name]: value }));
  } catch {
    // storage switched off: the choice holds for this page
  }
}

function readAll() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY));
    return found && typeof found === "object" ? found : {};
  } catch {
    return {};
  }
}
