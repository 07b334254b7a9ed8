// What the address of a table of runs holds, and how a page goes to another one: the table is asked for there and
// morphed into the page, as links in it do.

export function tableElement() {
  return document.getElementById("runs-table");
}

// The address without what nobody has chosen: what is changed from here on stays a choice.
export function parameters() {
  return new URL(tableElement().dataset.address, location.href).searchParams;
}

export function shownColumns() {
  return splitKeys(tableElement().dataset.columns);
}

export function pinnedColumns() {
  return splitKeys(parameters().get("pin") ?? "");
}

export function sortKeys() {
  const keys = splitKeys(parameters().get("sort") ?? "");
  return keys.length ? keys : ["-started"];
}

export function columnWidths() {
  return new Map(splitKeys(parameters().get("width") ?? "").map((each) => [each.slice(each.indexOf(":") + 1), Number(each.slice(0, each.indexOf(":")))]));
}

// A comma inside a name is escaped, as the server writes it.
export function joinKeys(keys) {
  return [...keys].map((key) => key.replaceAll("%", "%25").replaceAll(",", "%2C")).join(",");
}

export function splitKeys(text) {
  return text.split(",").filter((word) => word !== "").map(decodeURIComponent);
}

// Parameters by name; null takes one out. An empty list of columns is a choice too.
export function addressWith(changes) {
  const found = parameters();
  found.delete("page");
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || (value === "" && name !== "columns")) found.delete(name);
    else found.set(name, value);
  }
  const path = new URL(tableElement().dataset.address, location.href).pathname;
  const words = [...found].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value).replaceAll("%2C", ",").replaceAll("%2F", "/").replaceAll("%3A", ":")}`);
  return words.length ? `${path}?${words.join("&")}` : path;
}

// A click on a link that htmx boosts, as any in the table.
export function goTo(address, { replace = false } = {}) {
  const link = document.createElement("a");
  link.href = address;
  link.hidden = true;
  if (replace) link.setAttribute("hx-replace-url", "true");
  tableElement().append(link);
  window.htmx.process(link);
  link.addEventListener("htmx:afterRequest", () => link.remove());
  link.click();
}

// The table as it is now, asked for anew, after something was changed in its runs.
export function reload() {
  goTo(`${location.pathname}${location.search}`, { replace: true });
}

export async function fetchPart(part, more = {}) {
  const table = tableElement();
  const address = new URL(table.dataset.liveSrc, location.href); // with the columns that are shown, chosen or not
  address.searchParams.set("part", part);
  for (const [name, value] of Object.entries(more)) address.searchParams.set(name, value);
  const answer = await fetch(address, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`The viewer answered with ${answer.status}.`);
  return answer.text();
}
