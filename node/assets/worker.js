// Serves the pages where their own node no longer does: as they were when it last did.
//
// A service worker of the browser. It keeps the files of the pages and nothing else: what is said
// of the stock is always asked of a node, and the page that it serves goes on with another one.
// What is kept is one build's files, all of them: each build has a worker of its own, since the
// node writes into this file by what its pages are known, and that throws away what others kept.

const BUILD = "{{build}}";
const KEPT = "flashnode-pages";
const OURS = `${KEPT}-${BUILD}`;
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

// Another program or a proxy may answer under this address, too, and a node of another build.
const is_ours = (answer) => answer.ok && answer.headers.get("flashnode-pages") === BUILD;

addEventListener("install", (event) => {
  skipWaiting();
  event.waitUntil(keep_all());
});

addEventListener("activate", (event) => event.waitUntil(forget_others()));

addEventListener("fetch", (event) => {
  const { origin, pathname } = new URL(event.request.url);
  const url = origin + pathname;
  if (event.request.method === "GET" && known.has(url)) event.respondWith(serve(event, url));
});

// Fails where one file is of another build, as behind a proxy in the middle of an upgrade: then
// what was kept before stays, and the browser tries again when a page is next shown.
async function keep_all() {
  const ask = async (url) => [url, await fetch(new Request(url, { cache: "no-cache" }))];
  const answers = await Promise.all([...known].map(ask));
  const other = answers.find(([, answer]) => !is_ours(answer));
  if (other) throw new Error(`${other[0]} is not of this build`);
  const kept = await caches.open(OURS);
  await Promise.all(answers.map(([url, answer]) => kept.put(url, answer)));
}

async function forget_others() {
  const others = (await caches.keys()).filter((name) => name.startsWith(KEPT) && name !== OURS);
  await Promise.all(others.map((name) => caches.delete(name)));
}

async function serve(event, url) {
  const kept = await caches.open(OURS);
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
  if (answer?.ok) {
    // Its policy may name a node that was not known before.
    if (is_ours(answer)) event.waitUntil(kept.put(url, answer.clone()));
    return answer;
  }
  const asked = answer !== null && answer.status < 500;
  return (asked ? answer : await kept.match(url)) ?? answer ?? Response.error();
}
