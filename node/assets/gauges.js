// Rates and latencies of all nodes, from what each tells Prometheus.

const BUYS = "flashnode_buys_total";
const DURATION = "flashnode_http_request_duration_seconds_bucket";
const ROUTE = "/v1/buys";
// For how long a latency is taken together.
const SPAN = 5;
// A node that was not heard for so long no longer counts as it did when it was.
const PATIENCE_MS = 3000;

const KINDS = {
  accepted: ["accepted"],
  refused: [
    "sold_out", "insufficient", "limit", "rate_limited", "not_open", "sale_over",
    "unknown_product", "key_reused",
  ],
  failed: ["not_proposed", "unknown"],
};

const SAMPLE = /^([a-z_]+)\{([^}]*)\} (\S+)$/;

function labels(text) {
  const found = {};
  for (const [, name, value] of text.matchAll(/([a-z_]+)="([^"]*)"/g)) found[name] = value;
  return found;
}

// What is read of a scrape: buys by outcome, and the buckets of their durations.
export function read_scrape(text) {
  const scrape = { buys: {}, buckets: new Map() };
  for (const line of text.split("\n")) {
    if (!line.startsWith(BUYS) && !line.startsWith(DURATION)) continue;
    const [, name, inside, value] = SAMPLE.exec(line) ?? [];
    if (!name) continue;
    const label = labels(inside);
    if (name === BUYS) scrape.buys[label.outcome] = Number(value);
    else if (label.route === ROUTE) {
      scrape.buckets.set(label.le === "+Inf" ? Infinity : Number(label.le), Number(value));
    }
  }
  return scrape;
}

// A counter that fell began anew with its process.
const grown = (now, before) => (now >= before ? now - before : now);

// The bound under which a part of all lies, in seconds, between the bounds of its bucket; Infinity
// beyond the last. `buckets` is `[[bound, count up to it]]`, ascending.
export function quantile(buckets, part) {
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all === 0) return null;
  const wanted = part * all;
  let [low, under] = [0, 0];
  for (const [bound, upto] of buckets) {
    if (upto >= wanted) {
      if (bound === Infinity) return Infinity;
      return low + ((wanted - under) / (upto - under || 1)) * (bound - low);
    }
    [low, under] = [bound, upto];
  }
  return null;
}

// What grew between two scrapes of one node, by kind and second.
function rates_of(before, at_ms, scrape) {
  const seconds = Math.max(0.05, (at_ms - before.at_ms) / 1000);
  const count = (of, outcome) => of.buys[outcome] ?? 0;
  const more = (outcome) => grown(count(scrape, outcome), count(before.scrape, outcome));
  const sum = (outcomes) => outcomes.reduce((all, outcome) => all + more(outcome), 0) / seconds;
  return Object.fromEntries(Object.entries(KINDS).map(([kind, outcomes]) => [kind, sum(outcomes)]));
}

export class Gauges {
  constructor() {
    this.seen = new Map();
    this.spans = [];
  }

  // Takes scrapes of the nodes that answered, `[[node, at_ms, scrape]]`, and returns what they
  // amount to since each node's last: rates by kind and by node, quantiles in ms over the last
  // seconds, and which nodes are in them. Where nodes are asked one by one (`each`), one that is
  // not among the answers is down; else another may only have answered in its stead.
  take(scrapes, each) {
    const span = new Map();
    for (const [node, at_ms, scrape] of scrapes) {
      const before = this.seen.get(node);
      this.seen.set(node, { at_ms, scrape, rates: before ? rates_of(before, at_ms, scrape) : null });
      if (!before) continue;
      const anew = [...scrape.buckets].some(([le, n]) => n < (before.scrape.buckets.get(le) ?? 0));
      for (const [bound, count] of scrape.buckets) {
        const more = anew ? count : count - (before.scrape.buckets.get(bound) ?? 0);
        span.set(bound, (span.get(bound) ?? 0) + more);
      }
    }
    const now = Math.max(...scrapes.map(([, at_ms]) => at_ms));
    const asked = new Set(scrapes.map(([node]) => node));
    const rates = { accepted: 0, refused: 0, failed: 0 };
    const nodes = new Map();
    for (const [node, { at_ms, rates: own }] of this.seen) {
      const counts = asked.has(node) || (!each && now - at_ms < PATIENCE_MS);
      if (!own || !counts) continue;
      nodes.set(node, own);
      for (const kind of Object.keys(rates)) rates[kind] += own[kind];
    }
    this.spans.push(span);
    if (this.spans.length > SPAN) this.spans.shift();
    const sums = new Map();
    for (const one of this.spans) {
      for (const [bound, count] of one) sums.set(bound, (sums.get(bound) ?? 0) + count);
    }
    const buckets = [...sums].sort(([a], [b]) => a - b);
    const ms = (part) => {
      const seconds = quantile(buckets, part);
      return seconds === null ? null : seconds * 1000;
    };
    return { rates, nodes, p50: ms(0.5), p95: ms(0.95), p99: ms(0.99) };
  }
}
