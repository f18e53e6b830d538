// The storm panel: a form where the node was started for demonstrations, and how the storm goes.

import { el, find, say, show } from "./dom.js";
import { fresh_key } from "./settle.js";
import { T } from "./texts.js";

const BUYERS = 5000;
const BUYERS_MAX = 20_000;
const REFILL = 10_000;

export class StormPanel {
  constructor(nodes) {
    this.nodes = nodes;
    // The node that runs the storm: a follower, so that one can kill the leader meanwhile.
    this.base = null;
    this.off = el("p", { class: "idle" }, T.storm_off);
    this.select = el("select", { id: "storm-product" });
    this.buyers = el("input", {
      id: "storm-buyers", type: "number", min: 1, max: BUYERS_MAX, step: 1, value: BUYERS,
      inputmode: "numeric", required: true,
    });
    this.go = el("button", { class: "buy", type: "submit" }, T.storm_go);
    this.refill = el("button", { class: "quiet", type: "button", onclick: () => this.fill() }, T.storm_refill);
    this.stop = el("button", { class: "quiet", type: "button", onclick: () => this.end() }, T.storm_stop);
    const submit = (event) => {
      event.preventDefault();
      this.start();
    };
    this.form = el("form", { onsubmit: submit },
      el("label", { for: "storm-product" }, T.storm_product, this.select),
      el("label", { for: "storm-buyers" }, T.storm_buyers, this.buyers),
      this.go, this.refill, this.stop);
    this.state = el("p", { class: "state", role: "status" }, T.storm_none);
    this.bar = el("i");
    this.meter = el("div", { class: "meter", "aria-hidden": "true" }, this.bar);
    this.counts = el("p", { class: "counts" });
    this.run = el("div", {}, this.state, this.meter, this.counts);
    find("storm").append(this.off, this.form, this.run);
    this.ids = "";
  }

  products(products) {
    const ids = products.map(({ id, name }) => `${id} ${name}`).join("\n");
    if (ids === this.ids) return;
    this.ids = ids;
    const fullest = [...products].sort((a, b) => b.available - a.available)[0]?.id;
    const chosen = this.select.value || fullest;
    this.select.replaceChildren(...products.map(({ id, name }) => el("option", { value: id }, name)));
    if (products.some(({ id }) => id === chosen)) this.select.value = chosen;
  }

  update(demo, storm) {
    show(this.off, !demo);
    show(this.form, demo);
    show(this.run, demo);
    const running = storm?.running ?? false;
    this.go.disabled = running || this.select.value === "";
    this.stop.disabled = !running;
    if (!storm) return;
    const done = storm.accepted + storm.refused + storm.failed;
    say(this.state, T.storm_state(storm));
    say(this.counts, T.storm_counts(storm));
    this.bar.style.setProperty("--part", storm.buyers ? done / storm.buyers : 0);
  }

  async ask(base, path, asked) {
    try {
      const answer = await this.nodes.ask(base, path, asked);
      if (answer.status < 300) return answer.body;
      say(this.state, T.no_other(answer.body));
    } catch {
      say(this.state, T.nobody);
    }
    return null;
  }

  async start() {
    this.go.disabled = true;
    const body = { product_id: this.select.value, buyers: Number(this.buyers.value) };
    const base = this.follower?.() ?? this.nodes.current;
    const storm = await this.ask(base, "/v1/demo/storm", { method: "POST", body });
    if (storm) this.base = base;
    this.update(true, storm);
  }

  async end() {
    await this.ask(this.base ?? this.nodes.current, "/v1/demo/storm", { method: "DELETE" });
  }

  async fill() {
    const path = `/v1/products/${encodeURIComponent(this.select.value)}/restock`;
    const headers = { "idempotency-key": fresh_key() };
    const asked = { method: "POST", body: { quantity: REFILL }, headers };
    if (await this.ask(this.nodes.current, path, asked)) say(this.counts, T.refilled);
  }
}
