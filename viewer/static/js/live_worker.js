// One live stream for all tabs of a browser (a SharedWorker): browsers allow six connections per server, and streams of
// seven tabs would take them all. Each tab says what it watches and that it is still there; hidden ones have left.
const PRESENT_MS = 100000; // a tab that says nothing for so long has crashed; they speak every 30 s
const SWEEP_MS = 30000;

const KEPT = 500; // messages of a stream, for tabs that were being loaded when they came
const KEPT_MS = 60000;

const watchers = new Map(); // port -> {root, project, since, heard}
const streams = new Map(); // root -> {source, project, place, told: [{at, message}]}

onconnect = ({ ports: [port] }) => {
  port.onmessage = ({ data }) => {
    if (data.kind === "watch") watch(port, data);
    if (data.kind === "present" && watchers.has(port)) watchers.get(port).heard = Date.now();
    if (data.kind === "leave") leave(port);
  };
};

setInterval(() => {
  for (const [port, watcher] of watchers) if (Date.now() - watcher.heard > PRESENT_MS) leave(port);
}, SWEEP_MS);

// `loaded`: when the tab's page was asked for. What was told since then, it has not heard.
function watch(port, { root, project, since, loaded }) {
  watchers.set(port, { root, project, since, heard: Date.now() });
  for (const { at, message } of streams.get(root)?.told ?? []) if (at >= loaded) port.postMessage(message);
  if (streams.get(root)?.source.readyState === EventSource.OPEN) port.postMessage({ kind: "place" });
  follow(root);
}

function leave(port) {
  const watcher = watchers.get(port);
  watchers.delete(port);
  if (watcher) follow(watcher.root);
}

function watchersOf(root) {
  return [...watchers].filter(([, watcher]) => watcher.root === root);
}

// Have the stream of this database tell what its tabs want to hear, or none where there are none.
function follow(root) {
  const here = watchersOf(root).map(([, watcher]) => watcher);
  const stream = streams.get(root);
  if (!here.length) {
    stream?.source.close();
    streams.delete(root);
    return;
  }
  const projects = new Set(here.map((watcher) => watcher.project ?? ""));
  const project = projects.size === 1 ? [...projects][0] : "";
  if (stream && stream.source.readyState !== EventSource.CLOSED && (stream.project === project || stream.project === "")) return;
  const place = stream?.place || "";
  const since = here.map((watcher) => watcher.since).filter(Boolean).sort()[0];
  stream?.source.close();
  open(root, project, place, since);
}

function open(root, project, place, since) {
  const asked = { ...(place ? { after: place } : since && { since }), ...(project && { project }) };
  const source = new EventSource(`${root}/api/v1/live?${new URLSearchParams(asked)}`);
  const stream = { source, project, place, told: streams.get(root)?.told ?? [] };
  streams.set(root, stream);
  const tell = (message) => {
    if (streams.get(root) === stream) for (const [port] of watchersOf(root)) port.postMessage(message);
  };
  const pass = (kind) => (event) => {
    stream.place = event.lastEventId || stream.place;
    const message = { kind, data: event.data };
    if (kind === "change") keep(stream, message);
    tell(message);
  };
  source.onmessage = pass("change");
  source.addEventListener("gap", pass("gap"));
  source.addEventListener("place", pass("place"));
  source.onerror = () => {
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself, from where it was
    tell({ kind: "closed" });
    streams.delete(root);
    for (const [port] of watchersOf(root)) watchers.delete(port);
  };
}

function keep(stream, message) {
  const now = Date.now();
  stream.told = [...stream.told.filter(({ at }) => now - at < KEPT_MS).slice(1 - KEPT), { at: now, message }];
}
