// Has the browser keep the pages, for a reload while their own node is down.
//
// Browsers have this on localhost, and on https, where a proxy stands before the nodes. Elsewhere a
// page cannot be loaded anew while its node is gone.

export function keep_pages() {
  // Without it everything works but that.
  navigator.serviceWorker?.register("assets/worker.js", { scope: "./" }).catch(() => {});
}
