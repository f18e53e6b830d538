// The nodes, as this page reaches them: which one is asked, and which one is next.
//
// To the browser each node is another origin. A page may speak to exactly those that its policy
// names, and they answer it by CORS. Who asks for something gets an answer or an error that says
// whether anything may have been done.

const READ_MS = 3000;
const LOOK_MS = 5000;
const SULK_MS = 4000;

const NODES = "flashnode.nodes";
const REMEMBERED_MAX = 8;

// The nodes as they were known last: a page may be served while its own node is down.
function remembered() {
  try {
    const bases = JSON.parse(localStorage.getItem(NODES) ?? "[]");
    return location.protocol === "http:" ? bases.filter((base) => base !== location.origin) : [];
  } catch {
    return [];
  }
}

function remember(bases) {
  try {
    localStorage.setItem(NODES, JSON.stringify(bases));
  } catch {
    // Then only its own node serves this page.
  }
}

// Nobody answered: nothing is known.
export class Silence extends Error {}

export class Nodes extends EventTarget {
  constructor() {
    super();
    this.bases = [location.origin, ...remembered()];
    this.at = 0;
    this.sulking = new Map();
    this.served = { node: null, leader: null };
    this.ahead_ms = 0;
    this.demo = false;
    this.advertised = true;
    this.configured = this.bases.length;
  }

  // The node that is asked now.
  get current() {
    return this.bases[this.at];
  }

  // The instant that the nodes have now.
  now() {
    return Date.now() + this.ahead_ms;
  }

  // Leaves a node that did not answer, if it is still the one that is asked. Which one is next is
  // left to chance: all pages of a node that dies leave it at once, and one alone could not take
  // them.
  leave(base) {
    this.sulking.set(base, Date.now() + SULK_MS);
    if (base !== this.current || this.bases.length < 2) return;
    const until = (one) => this.sulking.get(one) ?? 0;
    const others = this.bases.filter((one) => one !== base);
    const well = others.filter((one) => until(one) <= Date.now());
    const [longest] = others.sort((a, b) => until(a) - until(b));
    const next = well.length > 0 ? well[Math.floor(Math.random() * well.length)] : longest;
    this.at = this.bases.indexOf(next);
    this.dispatchEvent(new Event("moved"));
  }

  // One attempt at one node. Throws a Silence when no answer came.
  async ask(base, path, { method = "GET", headers = {}, body, timeout_ms = READ_MS } = {}) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), timeout_ms);
    try {
      const json = body === undefined ? {} : { "content-type": "application/json" };
      const response = await fetch(base + path, {
        method,
        headers: { ...json, ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: patience.signal,
        cache: "no-store",
        credentials: "omit",
      });
      const text = await response.text();
      const type = response.headers.get("content-type") ?? "";
      const answer = {
        status: response.status,
        node: Number(response.headers.get("flashnode-node")) || null,
        body: type.includes("json") && text ? JSON.parse(text) : text,
        replayed: response.headers.get("idempotent-replayed") === "true",
        retry_after_s: Number(response.headers.get("retry-after")) || 0,
      };
      this.note(response.headers);
      return answer;
    } catch (cause) {
      throw new Silence(`no answer from ${base}`, { cause });
    } finally {
      clearTimeout(timer);
    }
  }

  note(headers) {
    const number = (name) => Number(headers.get(name)) || null;
    const [node, leader] = [number("flashnode-node"), number("flashnode-leader")];
    if (!node || (node === this.served.node && leader === this.served.leader)) return;
    this.served = { node, leader };
    this.dispatchEvent(new Event("served"));
  }

  // Reads from node to node until one answers; null where there is no such thing.
  async read(path) {
    for (let tries = 0; tries < Math.max(2, this.bases.length); tries += 1) {
      const base = this.current;
      try {
        const answer = await this.ask(base, path);
        if (answer.status === 404) return null;
        if (answer.status < 400) return answer.body;
      } catch (error) {
        if (!(error instanceof Silence)) throw error;
      }
      this.leave(base);
    }
    throw new Silence("no node answers");
  }

  // Learns where the nodes are and what time it is there, now and from time to time.
  async follow(seen) {
    for (;;) {
      const asked = Date.now();
      try {
        const room = await this.read("/v1/control?consistency=stale");
        this.ahead_ms = room.now_ms - (asked + Date.now()) / 2;
        this.demo = room.demo;
        this.learn(room);
        seen?.(room);
      } catch {
        // Whoever shows whether the page is live says so.
      }
      await new Promise((wake) => setTimeout(wake, LOOK_MS));
    }
  }

  learn({ nodes, configured }) {
    const here = location.host;
    this.configured = configured;
    this.advertised = nodes.some((node) => node.http === here);
    // A page under another name than the nodes know is let in by none but its own.
    if (location.protocol !== "http:" || !this.advertised) return;
    const named = nodes.map(({ http }) => `http://${http}`);
    // A node that has just started may not know yet where one is that is down. Once it knows all,
    // whoever is not among them is gone.
    const known = nodes.length >= configured ? named : [...named, ...this.bases];
    const { current } = this;
    this.bases = [...new Set([location.origin, ...known])];
    this.at = Math.max(0, this.bases.indexOf(current));
    remember([...new Set(known)].slice(0, REMEMBERED_MAX));
    if (this.current !== current) this.dispatchEvent(new Event("moved"));
  }
}
