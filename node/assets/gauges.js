// Rates and latencies of all nodes, from what each tells Prometheus.

const BUYS = "flashnode_buys_total";
const DURATION = "flashnode_http_request_duration_seconds_bucket";
const ROUTE = "/v1/buys";
// For how long a latency is taken together.
const SPAN = 5;

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

export class Gauges {
  constructor() {
    this.seen = new Map();
    this.spans = [];
  }

  // Takes a scrape of each node that answered, `[[name, at_ms, scrape]]`, and returns what they
  // amount to since the last: rates by kind, and quantiles in ms over the last seconds.
  take(scrapes) {
    const rates = { accepted: 0, refused: 0, failed: 0 };
    const span = new Map();
    for (const [name, at_ms, scrape] of scrapes) {
      const before = this.seen.get(name);
      this.seen.set(name, { at_ms, scrape });
      if (!before) continue;
      const seconds = Math.max(0.05, (at_ms - before.at_ms) / 1000);
      for (const [kind, outcomes] of Object.entries(KINDS)) {
        for (const outcome of outcomes) {
          const count = (of) => of.buys[outcome] ?? 0;
          rates[kind] += grown(count(scrape), count(before.scrape)) / seconds;
        }
      }
      const anew = [...scrape.buckets].some(([le, n]) => n < (before.scrape.buckets.get(le) ?? 0));
      for (const [bound, count] of scrape.buckets) {
        const more = anew ? count : count - (before.scrape.buckets.get(bound) ?? 0);
        span.set(bound, (span.get(bound) ?? 0) + more);
      }
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
    return { rates, p50: ms(0.5), p95: ms(0.95), p99: ms(0.99) };
  }
}
