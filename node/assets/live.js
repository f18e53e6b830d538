// Live stock as server-sent events: at most ten looks a second, from whichever node is asked.
//
// A browser opens few connections to a node, for all its tabs together. So a page that nobody sees
// does not listen; once it is seen again it is told every level first.

const PAUSE_MS = 250;
const PAUSE_MAX_MS = 3000;

// `told({ product_id, stock })` hears every level, `changed(is_live)` whether they are live.
export function listen(nodes, told, changed) {
  let source = null;
  let pause = PAUSE_MS;

  function open() {
    if (source !== null || document.hidden) return;
    const base = nodes.current;
    const mine = new EventSource(`${base}/v1/levels`);
    source = mine;
    mine.base = base;
    mine.onopen = () => changed(true);
    mine.onmessage = (event) => {
      // Only now: a node may take a listener and end it at once.
      pause = PAUSE_MS;
      told(JSON.parse(event.data));
    };
    mine.onerror = () => {
      // The browser would go on asking this node alone.
      mine.close();
      if (source !== mine) return;
      source = null;
      changed(false);
      nodes.leave(base);
      // Whoever left the node for us may have opened another one already. Not all pages at once.
      setTimeout(open, pause * (0.5 + Math.random()));
      pause = Math.min(PAUSE_MAX_MS, pause * 2);
    };
  }

  function close() {
    if (source === null) return;
    source.close();
    source = null;
    changed(false);
  }

  nodes.addEventListener("moved", () => {
    if (source === null || source.base === nodes.current) return;
    close();
    open();
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
}
