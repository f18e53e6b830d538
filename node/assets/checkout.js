// A hold on its card: what is set aside, for how long still, and the two ways to end it.

import { clock, el, rest, say } from "./dom.js";
import { T } from "./texts.js";

export class Checkout {
  // `acts` has `confirm(hold)`, `release(hold)` and `ended(hold)`.
  constructor(hold, names, acts) {
    this.hold = hold;
    this.ends_ms = Date.parse(hold.expires_at);
    this.acts = acts;
    this.busy = false;
    this.told = false;
    this.left = el("b", { role: "timer" });
    this.bar = el("i");
    const lines = hold.items.map(({ product_id, quantity }) =>
      el("p", { class: "what" }, T.bought_units(quantity, names(product_id))));
    this.confirm = el("button", { type: "button", class: "buy", onclick: () => this.busy || acts.confirm(hold) },
      T.confirm);
    this.release = el("button", { type: "button", class: "quiet", onclick: () => this.busy || acts.release(hold) },
      T.release);
    this.root = el("section", { class: "checkout", "aria-label": T.held_title, tabindex: -1 },
      el("div", { class: "headline" },
        el("div", {}, el("h3", {}, T.held_title), ...lines),
        el("p", { class: "remaining" }, this.left, el("span", {}, T.held_left))),
      el("div", { class: "meter" }, this.bar),
      el("div", { class: "row" }, this.confirm, this.release));
    this.root.dataset.hold = hold.hold_id;
  }

  tick(now, ttl_ms) {
    const left = this.ends_ms - now;
    say(this.left, clock(left));
    this.bar.style.setProperty("--part", Math.max(0, Math.min(1, left / ttl_ms)));
    this.confirm.disabled = left <= 0;
    this.release.disabled = left <= 0;
    this.root.classList.toggle("low", left < 15_000);
    // The nodes decide when it ends, by log time; here it is only seen that it must be near.
    if (left <= 0 && !this.told && !this.busy) {
      this.told = true;
      this.acts.ended(this.hold);
    }
  }

  wait(busy) {
    this.busy = busy;
    for (const button of [this.confirm, this.release]) rest(button, busy);
  }
}
