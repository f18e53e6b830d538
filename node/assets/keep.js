// Has the browser keep the pages, for a reload while their own node is down.
//
// Browsers have this on localhost, and on https, where a proxy stands before the nodes. Elsewhere a
// page cannot be loaded anew while its node is gone.

const AGAIN_MS = 2000;
const AGAIN_MOST_MS = 300_000;

// Keeps this build's files, now or later. A worker that cannot have all of them is given up by the
// browser, as where nobody answers for a moment, or a node of another build does behind a proxy; and
// the browser itself tries again only when a page is next shown.
export function keep_pages() {
  const workers = navigator.serviceWorker;
  // Without it everything works but that.
  if (!workers) return;
  let wait_ms = AGAIN_MS;
  let is_planned = false;

  function again() {
    if (is_planned) return;
    is_planned = true;
    setTimeout(() => {
      is_planned = false;
      keep();
    }, wait_ms * (0.5 + Math.random()));
    wait_ms = Math.min(2 * wait_ms, AGAIN_MOST_MS);
  }

  function follow(worker) {
    let is_kept = false;
    worker?.addEventListener("statechange", () => {
      is_kept ||= worker.state === "activated";
      if (worker.state === "redundant" && !is_kept) again();
    });
  }

  async function keep() {
    try {
      const kept = await workers.register("assets/worker.js", { scope: "./" });
      kept.onupdatefound = () => follow(kept.installing);
      follow(kept.installing);
      // A browser looks for another build when it comes to that, and may not.
      if (!kept.installing) await kept.update();
    } catch {
      again();
    }
  }

  keep();
}
