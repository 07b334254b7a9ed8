// Where the database that this page shows lies on this server, and runs' ids as JSON has them.
export const root = document.documentElement.dataset.root ?? "";

// An attribute or an address holds an id as text: a number, or the word for an id of another type.
export function runKey(text) {
  return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
}
