// The shop: products as they are, clicks that count once, and holds that outlive a reload.

import { Card } from "./card.js";
import { Checkout } from "./checkout.js";
import { el, fill, find, say, show, time } from "./dom.js";
import { keep_pages } from "./keep.js";
import { listen } from "./live.js";
import { Nodes } from "./nodes.js";
import { fresh_key, pending, resumed, settle } from "./settle.js";
import { T } from "./texts.js";

const TICK_MS = 200;
const LOOK_MS = 3000;
const SLOW_MS = 1500;
const AGAIN_MS = 400;
const ORDERS_SHOWN = 20;
// So many are asked for: the newest are the last.
const ORDERS_MAX = 1000;
const LOOKS_MIN = 4;
// From so many products on, one is looked for by its name.
const SEEK_FROM = 13;
const BUYER = "flashnode.buyer";

const nodes = new Nodes();
const cards = new Map();
const checkouts = new Map();
const levels = new Map();
const flying = new Set();
let buyer = who();

// The buyer is this browser, in all its tabs.
function who(another) {
  const made = () => `guest-${fresh_key().slice(0, 8)}`;
  try {
    const known = another ? null : localStorage.getItem(BUYER);
    const name = known ?? made();
    localStorage.setItem(BUYER, name);
    return name;
  } catch {
    return made();
  }
}

const name_of = (id) => cards.get(id)?.product.name ?? id;
const lines_of = (items) =>
  items.map(({ product_id, quantity }) => T.bought_units(quantity, name_of(product_id))).join(", ");

// Clicks.

async function run(request, card, under_way) {
  under_way(true);
  flying.add(request.key);
  card.tell("wait", T.asking);
  const slow = setTimeout(() => card.tell("wait", T.asking, T.safe), SLOW_MS);
  const tell = ({ why, attempt }) => {
    clearTimeout(slow);
    card.tell("wait", T.asking, T.retry[why](attempt));
  };
  try {
    return await settle(nodes, request, tell);
  } finally {
    clearTimeout(slow);
    flying.delete(request.key);
    under_way(false);
  }
}

function refusal(problem) {
  return (T.no[problem.type] ?? T.no_other)(problem);
}

async function bought(answer, card) {
  const { order_id } = answer.body;
  const settled = answer.replayed ? T.settled : null;
  const told = card.tell("good", T.bought(order_id), settled);
  await orders();
  const order = await nodes.read(`/v1/orders/${order_id}`).catch(() => null);
  // A later click may have been answered meanwhile.
  if (!order || !told.isConnected) return;
  const lines = [lines_of(order.items), T.place(order.place), T.receipt(order.receipt), settled];
  card.tell("good", T.bought(order_id), ...lines);
}

async function act(request, card, under_way) {
  const answer = await run(request, card, under_way);
  const good = answer.status < 300;
  if (!good) card.tell("bad", refusal(answer.body));
  else if (request.action === "hold") card.hush();
  else if (request.action === "release") card.tell("good", T.released);
  else await bought(answer, card);
  if (request.action !== "buy") await holds(good && request.action === "hold");
  await products();
}

function ask(action, card, quantity) {
  const path = action === "hold" ? "/v1/holds" : "/v1/buys";
  const body = { product_id: card.product.id, user_id: buyer, quantity };
  const key = fresh_key();
  const request = { key, action, method: "POST", path, body, product: card.product.id };
  return act(request, card, (busy) => card.wait(busy));
}

function end(action, hold) {
  const card = cards.get(hold.items[0].product_id);
  const checkout = checkouts.get(hold.hold_id);
  const request = { key: fresh_key(), action, product: card.product.id, hold: hold.hold_id };
  if (action === "confirm") {
    Object.assign(request, {
      method: "POST", path: `/v1/holds/${hold.hold_id}/confirm`, body: { user_id: hold.user_id },
    });
  } else {
    const user = encodeURIComponent(hold.user_id);
    Object.assign(request, { method: "DELETE", path: `/v1/holds/${hold.hold_id}?user_id=${user}` });
  }
  return act(request, card, (busy) => checkout?.wait(busy));
}

// What an earlier page of this tab left undecided.
function resume() {
  for (const request of pending()) {
    const card = cards.get(request.product);
    if (!card || flying.has(request.key)) continue;
    card.tell("wait", T.resumed);
    act(resumed(request), card, (busy) => card.wait(busy));
  }
}

// Products.

async function products() {
  const list = await nodes.read("/v1/products?consistency=stale&limit=1000");
  const section = find("products");
  for (const node of section.querySelectorAll(".empty")) node.remove();
  for (const product of list.products) {
    const card = cards.get(product.id);
    if (card) {
      card.update(product);
      continue;
    }
    const acts = {
      buy: (quantity) => ask("buy", cards.get(product.id), quantity),
      reserve: (quantity) => ask("hold", cards.get(product.id), quantity),
    };
    cards.set(product.id, new Card(product, acts));
    section.append(cards.get(product.id).root);
  }
  section.classList.toggle("single", cards.size === 1);
  show(find("seek"), cards.size >= SEEK_FROM);
  seek();
  if (cards.size === 0) {
    section.append(el("div", { class: "empty" }, el("p", {}, T.nothing), el("pre", {}, T.nothing_how)));
  }
}

// Shows what is looked for; what somebody holds a unit of stays, or its countdown would be unseen.
function seek() {
  const text = find("seek-text").value.trim();
  const wanted = cards.size < SEEK_FROM ? "" : text.toLowerCase();
  let shown = 0;
  for (const { product, root, checkout } of cards.values()) {
    const matches = `${product.name}\n${product.id}`.toLowerCase().includes(wanted);
    show(root, matches || checkout.childElementCount > 0);
    shown += matches ? 1 : 0;
  }
  say(find("seek-found"), shown ? T.found(shown, cards.size) : T.found_none(text));
}

// Holds: the nodes know them, so they are here after a reload and in another tab.

async function holds(focus) {
  const user = encodeURIComponent(buyer);
  const list = await nodes.read(`/v1/holds?user_id=${user}`);
  const open = new Map(list.holds.map((hold) => [hold.hold_id, hold]));
  for (const [id, checkout] of checkouts) {
    if (open.has(id)) continue;
    // Whoever ended it by keyboard goes on at what came of it.
    const place = checkout.root.contains(document.activeElement);
    checkout.root.remove();
    if (place) cards.get(checkout.hold.items[0].product_id)?.outcome.focus();
    checkouts.delete(id);
  }
  for (const [id, hold] of open) {
    const card = cards.get(hold.items[0].product_id);
    if (checkouts.has(id) || !card) continue;
    const acts = { confirm: (h) => end("confirm", h), release: (h) => end("release", h), ended };
    const checkout = new Checkout(hold, name_of, acts);
    checkouts.set(id, checkout);
    card.checkout.append(checkout.root);
    if (focus) checkout.root.focus({ preventScroll: false });
  }
}

// A deadline has passed here; the nodes say how the hold ended.
async function ended(hold) {
  const card = cards.get(hold.items[0].product_id);
  for (;;) {
    const seen = await nodes.read(`/v1/holds/${hold.hold_id}`).catch(() => undefined);
    if (seen === null || (seen && seen.state !== "open")) {
      if (seen?.state === "expired") card.tell("bad", T.hold_expired);
      else if (seen?.state !== "confirmed") card.tell("bad", T.hold_gone);
      break;
    }
    await new Promise((wake) => setTimeout(wake, AGAIN_MS));
  }
  await Promise.allSettled([holds(), products()]);
}

// Orders.

async function orders() {
  const user = encodeURIComponent(buyer);
  const { orders: all } = await nodes.read(`/v1/orders?user_id=${user}&limit=${ORDERS_MAX}`);
  const list = all.slice(-ORDERS_SHOWN);
  const section = find("orders");
  const item = (order) => el("li", order.cancelled ? { class: "cancelled" } : {},
    el("b", {}, String(order.order_id)), el("span", {}, lines_of(order.items)),
    el("code", {}, order.receipt.slice(0, 12)),
    el("time", {}, order.cancelled ? T.cancelled : time(order.at_ms)));
  section.querySelector("ul").replaceChildren(...list.reverse().map(item));
  show(section, list.length > 0);
}

// The frame around it.

function served() {
  const { node, leader } = nodes.served;
  if (node) say(find("served"), T.served(node, leader));
}

function buyer_line() {
  const change = () => {
    buyer = who(true);
    for (const card of cards.values()) card.hush();
    buyer_line();
    look();
  };
  find("buyer").replaceChildren(T.you_are(buyer), " ",
    el("button", { type: "button", class: "link", onclick: change }, T.another_buyer));
}

function live(is_live) {
  const pill = find("live");
  pill.classList.toggle("on", is_live);
  say(pill.querySelector("span"), is_live ? T.live : T.not_live);
}

// Who has answered at this page's own address, and how often it was asked.
const answered = new Set();
let looks = 0;

// A page at an address that is no node's cannot go on with another, unless several answer there: then
// it is a proxy's, which does that itself, as whatever speaks HTTPS does.
function detour(room) {
  answered.add(room.node);
  looks += 1;
  const alone = looks >= LOOKS_MIN && answered.size === 1 && location.protocol === "http:";
  const lost = !nodes.advertised && room.nodes.length > 1 && alone;
  const note = find("detour");
  show(note, lost);
  if (!lost) return;
  const { http } = room.nodes.find((node) => node.id === room.node) ?? room.nodes[0];
  note.replaceChildren(T.detour, " ", el("a", { href: `http://${http}/` }, http));
}

async function look() {
  try {
    await products();
    show(find("silence"), false);
    resume();
    await Promise.all([holds(), orders()]);
  } catch {
    show(find("silence"), cards.size === 0);
  }
}

function tick() {
  const now = nodes.now();
  for (const [id, left] of levels) cards.get(id)?.level(left);
  levels.clear();
  for (const card of cards.values()) card.tick(now);
  for (const { hold } of checkouts.values()) {
    const ttl_ms = cards.get(hold.items[0].product_id)?.product.hold_ttl_ms ?? 600_000;
    checkouts.get(hold.hold_id).tick(now, ttl_ms);
  }
}

async function start() {
  fill();
  keep_pages();
  document.title = T.shop_title;
  find("products").append(el("p", { class: "note", id: "silence" }, T.loading));
  live(false);
  buyer_line();
  nodes.addEventListener("served", served);
  nodes.follow(detour);
  await look();
  say(find("silence"), T.nobody);
  // One list tells of all that are new, and what is on no list is asked for seldom.
  let asked_at = 0;
  find("seek-text").addEventListener("input", seek);
  listen(nodes, ({ product_id, stock }) => {
    levels.set(product_id, stock);
    if (cards.has(product_id) || Date.now() - asked_at < LOOK_MS) return;
    asked_at = Date.now();
    products().catch(() => {});
  }, live);
  setInterval(tick, TICK_MS);
  tick();
  for (;;) {
    await new Promise((wake) => setTimeout(wake, LOOK_MS));
    await look();
  }
}

start();
