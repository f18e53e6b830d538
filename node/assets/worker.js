// Serves the pages where their own node no longer does: as they were when it last did.
//
// A service worker of the browser. It keeps the files of the pages and nothing else: what is said
// of the stock is always asked of a node, and the page that it serves goes on with another one.

const KEPT = "flashnode-pages";
// A node that stands still takes connections and says nothing. Once is enough for a page's files.
const PATIENCE_MS = 3000;
const SILENT_MS = 5000;
const PAGES = ["./", "control"];
const FILES = [
  "page.css", "shop.css", "control.css", "icon.svg",
  "texts.js", "dom.js", "nodes.js", "settle.js", "live.js", "shop.js", "checkout.js", "card.js",
  "control.js", "charts.js", "gauges.js", "storm.js", "keep.js",
];

const names = [...PAGES, ...FILES.map((name) => `assets/${name}`)];
let silent_until = 0;
const known = new Set(names.map((name) => new URL(name, registration.scope).href));

addEventListener("install", (event) => {
  skipWaiting();
  const fresh = [...known].map((url) => new Request(url, { cache: "no-cache" }));
  event.waitUntil(caches.open(KEPT).then((kept) => kept.addAll(fresh)));
});

addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const url = origin + pathname;
  if (event.request.method === "GET" && known.has(url)) event.respondWith(serve(event, url));
});

async function serve(event, url) {
  const kept = await caches.open(KEPT);
  const before = Date.now() < silent_until ? await kept.match(url) : undefined;
  if (before) return before;
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  let answer = null;
  try {
    answer = await fetch(event.request, { signal: patience.signal });
  } catch {
    if (patience.signal.aborted) silent_until = Date.now() + SILENT_MS;
  } finally {
    clearTimeout(timer);
  }
  // Another program or a proxy may answer under this address, too.
  if (answer?.ok) {
    if (answer.headers.has("flashnode-node")) event.waitUntil(kept.put(url, answer.clone()));
    return answer;
  }
  const asked = answer !== null && answer.status < 500;
  return (asked ? answer : await kept.match(url)) ?? answer ?? Response.error();
}
