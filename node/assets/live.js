// Live stock over a WebSocket: at most ten looks a second, from whichever node is asked.

const PAUSE_MS = 250;
const PAUSE_MAX_MS = 3000;

// `told({ product_id, stock })` hears every level, `changed(is_live)` whether they are live.
export function listen(nodes, told, changed) {
  let socket = null;
  let pause = PAUSE_MS;

  function open() {
    const base = nodes.current;
    const mine = new WebSocket(`${base.replace(/^http/, "ws")}/ws`);
    socket = mine;
    mine.onopen = () => {
      pause = PAUSE_MS;
      changed(true);
    };
    mine.onmessage = (event) => told(JSON.parse(event.data));
    mine.onclose = () => {
      if (socket !== mine) return;
      socket = null;
      changed(false);
      nodes.leave(base);
      // Whoever left the node for us has opened another one already.
      if (socket === null) setTimeout(() => socket ?? open(), pause);
      pause = Math.min(PAUSE_MAX_MS, pause * 2);
    };
    mine.base = base;
  }

  nodes.addEventListener("moved", () => {
    if (socket === null || socket.base === nodes.current) return;
    const old = socket;
    socket = null;
    old.close();
    changed(false);
    open();
  });
  open();
}
