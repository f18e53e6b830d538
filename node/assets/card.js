// One product on the page: what it is, how many are left, how to get one, and what came of it.

import { clock, count, el, money, rest, say, show, svg } from "./dom.js";
import { T } from "./texts.js";

const QUANTITY_MAX = 99;

// A number that is the same wherever the text is.
function seed(text) {
  let hash = 2166136261;
  for (const sign of text) hash = Math.imul(hash ^ sign.codePointAt(0), 16777619) >>> 0;
  return hash;
}

function dice(state) {
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const CELLS = 4;
const SHAPES = [
  (x, y) => `M${x} ${y}h1v1h-1z`,
  (x, y) => `M${x} ${y}h1a1 1 0 0 1-1 1z`,
  (x, y) => `M${x + 1} ${y}v1a1 1 0 0 1-1-1z`,
  (x, y) => `M${x + 1} ${y + 1}h-1a1 1 0 0 1 1-1z`,
  (x, y) => `M${x} ${y + 1}v-1a1 1 0 0 1 1 1z`,
  (x, y) => `M${x} ${y + 0.5}a.5 .5 0 0 1 1 0a.5 .5 0 0 1-1 0z`,
  (x, y) => `M${x} ${y}h1l-1 1z`,
];

// The stroke closes the seam between two cells of one colour.
const piece = (d, fill) => svg("path", { d, fill, stroke: fill, "stroke-width": 0.008 });

// A picture of the product's id: sellers upload none.
function picture(id) {
  const roll = dice(seed(id));
  for (let warm = 0; warm < 8; warm += 1) roll();
  const hue = Math.floor(roll() * 360);
  const tones = [
    `hsl(${hue} 46% 42%)`,
    `hsl(${(hue + 28) % 360} 62% 66%)`,
    `hsl(${(hue + 190) % 360} 30% 26%)`,
    `hsl(${(hue + 14) % 360} 70% 84%)`,
  ];
  const back = `hsl(${hue} 44% 92%)`;
  const shapes = [];
  for (let cell = 0; cell < CELLS * CELLS; cell += 1) {
    const shape = SHAPES[Math.floor(roll() * SHAPES.length)];
    const d = shape(cell % CELLS, Math.floor(cell / CELLS));
    if (roll() < 0.86) shapes.push(piece(d, tones[Math.floor(roll() * 4)]));
  }
  const size = `0 0 ${CELLS} ${CELLS}`;
  const box = { viewBox: size, preserveAspectRatio: "xMidYMid slice", "aria-hidden": "true" };
  const ground = svg("rect", { width: CELLS, height: CELLS, fill: back });
  return svg("svg", { ...box, class: "picture" }, ground, ...shapes);
}

export class Card {
  // `acts` has `buy(quantity)` and `reserve(quantity)`.
  constructor(product, acts) {
    this.product = product;
    this.busy = false;
    this.name = el("h2", { id: `name-${product.id}` });
    this.price = el("span", { class: "price" });
    this.limit = el("span", { class: "limit" });
    this.left = el("strong", { class: "left" });
    this.stocked = el("span", { class: "of" });
    this.fill = el("i");
    this.meter = el("div", { class: "meter", role: "meter", "aria-valuemin": 0 }, this.fill);
    this.held = el("p", { class: "held" });
    this.timer = el("p", { class: "timer" }, el("span"), el("b"));
    this.input = el("input", {
      type: "number", min: 1, value: 1, inputmode: "numeric", id: `quantity-${product.id}`,
      onchange: () => this.quantity(),
    });
    const step = (by) => () => {
      this.input.value = this.quantity() + by;
      this.quantity();
    };
    this.steps = el("div", { class: "steps" },
      el("button", { type: "button", "aria-label": T.fewer, onclick: step(-1) }, "−"),
      this.input,
      el("button", { type: "button", "aria-label": T.more, onclick: step(1) }, "+"));
    this.buy = el("button", {
      type: "button", class: "buy", onclick: () => this.busy || acts.buy(this.quantity()),
    });
    this.reserve = el("button", {
      type: "button", class: "quiet", onclick: () => this.busy || acts.reserve(this.quantity()),
    });
    this.form = el("div", { class: "form" },
      el("label", { for: `quantity-${product.id}`, class: "unseen" }, T.quantity),
      el("div", { class: "row" }, this.steps, this.buy), this.reserve);
    this.checkout = el("div", { class: "checkouts" });
    this.outcome = el("div", { class: "outcome", role: "status", tabindex: -1 });
    this.root = el("article", { class: "card", "aria-labelledby": `name-${product.id}` },
      picture(product.id),
      el("div", { class: "about" },
        el("header", {}, this.name, el("p", { class: "terms" }, this.price, this.limit)),
        el("div", { class: "stock" },
          el("p", { class: "count" }, this.left, el("span", { class: "unit" }, T.left), this.stocked),
          this.meter, this.held),
        this.timer, this.outcome, this.checkout, this.form));
    this.root.dataset.product = product.id;
    this.update(product);
  }

  // The quantity that stands in the field, made one that can be asked for.
  quantity() {
    const most = Math.min(this.product.per_user_limit ?? QUANTITY_MAX, QUANTITY_MAX);
    const wanted = Math.trunc(Number(this.input.value)) || 1;
    const quantity = Math.min(Math.max(wanted, 1), most);
    this.input.value = quantity;
    return quantity;
  }

  update(product) {
    this.product = product;
    const { price, currency, per_user_limit: limit } = product;
    this.cost = price === undefined ? null : money(price, currency);
    say(this.name, product.name);
    say(this.price, this.cost ?? "");
    say(this.limit, limit ? T.per_user(limit) : "");
    this.input.max = Math.min(limit ?? QUANTITY_MAX, QUANTITY_MAX);
    this.level(product.available);
  }

  // What is left, as the live levels tell it.
  level(left) {
    const { stocked, held } = this.product;
    this.product.available = left;
    say(this.left, count(left));
    say(this.stocked, T.of_stocked(stocked));
    this.fill.style.setProperty("--part", stocked ? left / stocked : 0);
    this.meter.setAttribute("aria-valuemax", stocked);
    this.meter.setAttribute("aria-valuenow", left);
    this.meter.setAttribute("aria-label", T.level(count(left), count(stocked)));
    say(this.held, held > 0 ? T.in_carts(held) : "");
    show(this.held, held > 0);
    this.root.classList.toggle("low", left > 0 && left * 10 <= stocked);
    this.root.classList.toggle("gone", left === 0);
  }

  // What can be done at this instant. Called often, so it changes only what differs.
  // What the chosen quantity costs.
  sum() {
    const { price, currency } = this.product;
    // What is being typed is left alone.
    const typed = Math.trunc(Number(this.input.value)) || 1;
    const quantity = Math.max(1, Math.min(typed, Number(this.input.max)));
    return money(price * quantity, currency);
  }

  tick(now) {
    const starts = Date.parse(this.product.starts_at ?? "") - now;
    const ends = Date.parse(this.product.ends_at ?? "") - now;
    const [early, late] = [starts > 0, ends <= 0];
    const [label, value] = this.timer.children;
    show(this.timer, early || Number.isFinite(ends));
    say(label, early ? T.opens_in : late ? T.ended : T.ends_in);
    say(value, early ? clock(starts) : late ? "" : clock(ends));
    this.timer.classList.toggle("early", early);
    const none = this.product.available === 0;
    const open = !early && !late && !none;
    if (this.buy.disabled === open) this.buy.disabled = !open;
    if (this.reserve.disabled === open) this.reserve.disabled = !open;
    for (const button of [this.buy, this.reserve]) rest(button, this.busy);
    const can = this.cost === null ? T.buy : T.buy_at(this.sum());
    const cannot = early ? T.not_open : late ? T.over : none ? T.sold_out : can;
    say(this.buy, this.busy ? T.asking : cannot);
    say(this.reserve, T.reserve(clock(this.product.hold_ttl_ms)));
    show(this.reserve, !early && !late && !none);
    show(this.steps, !early && !late && !none);
  }

  // A click is under way, or no longer.
  wait(busy) {
    this.busy = busy;
    this.root.toggleAttribute("aria-busy", busy);
    this.root.classList.toggle("busy", busy);
    for (const button of [this.buy, this.reserve]) rest(button, busy);
  }

  // What came of it: "good", "bad" or "wait", and lines of text.
  // Gives back what is in the page until something else is told.
  tell(tone, title, ...lines) {
    this.outcome.className = `outcome ${tone}`;
    const told = el("p", { class: "what" }, title);
    const texts = lines.filter(Boolean).map((line) => el("p", {}, line));
    this.outcome.replaceChildren(told, ...texts);
    return told;
  }

  hush() {
    this.outcome.className = "outcome";
    this.outcome.replaceChildren();
  }
}
