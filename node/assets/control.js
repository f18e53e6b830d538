// The control room: what the nodes say of themselves, a look a second, and stock as it falls.

import { Chart } from "./charts.js";
import { clock, count, el, fill, find, say, time } from "./dom.js";
import { Gauges, read_scrape } from "./gauges.js";
import { keep_pages } from "./keep.js";
import { listen } from "./live.js";
import { Nodes } from "./nodes.js";
import { StormPanel } from "./storm.js";
import { T } from "./texts.js";

const LOOK_MS = 1000;
const DRAW_MS = 250;
const WINDOW_MS = 60_000;
const ORDERS_SHOWN = 8;
const ORDERS_BACK = 60;
const ELECTIONS_SHOWN = 8;
const LINES_MAX = 5;
const ASKS_FOR_EACH = 2;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3], [5, 2]];

const nodes = new Nodes();
const gauges = new Gauges();
const levels = new Map();
const elections = new Map();
const stock = new Map();
const rates = { accepted: [], refused: [], failed: [] };
const latency = { p50: [], p95: [], p99: [] };
const tiles = {};
let products = [];
let node_rates = new Map();
let cluster_seen = null;
let charts;
let storm;

const keep = (points, at, value) => {
  points.push([at, value]);
  while (points.length && points[0][0] < at - WINDOW_MS - 5000) points.shift();
};
const ms = (value) => (value === null ? T.none : value === Infinity ? T.beyond(5000) : T.ms(value));
const name_of = (id) => products.find((product) => product.id === id)?.name ?? id;
const lines_of = (items) =>
  items.map(({ product_id, quantity }) => T.bought_units(quantity, name_of(product_id))).join(", ");

function tile(key, value, alarm) {
  if (!tiles[key]) {
    tiles[key] = el("dd");
    find("tiles").append(el("div", {}, el("dt", {}, T.tile[key]), tiles[key]));
  }
  say(tiles[key], value);
  tiles[key].parentElement.classList.toggle("alarm", Boolean(alarm));
}

// A table whose rows are texts; what is a number stands to the right.
function table(id, columns, rows, idle) {
  const place = find(id).querySelector(".scroll");
  if (rows.length === 0) {
    place.replaceChildren(el("p", { class: "idle" }, idle));
    return;
  }
  const head = columns.map(({ name, kind }) => el("th", { scope: "col", class: kind }, name));
  const body = rows.map(({ kind, cells }) => el("tr", { class: kind },
    ...cells.map((cell, n) => el("td", { class: columns[n].kind }, cell))));
  place.replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)));
}

const column = (name, kind) => ({ name, kind });

function show_nodes(cluster) {
  cluster_seen = cluster;
  const names = T.node_columns;
  const columns = [column(names.node), column(names.role), column(names.term, "n"),
    column(names.commit, "n roomy"), column(names.applied, "n"), column(names.lag, "n"),
    column(names.rate, "n")];
  const rows = cluster.nodes.map((node) => {
    const role = el("span", { class: "role" }, el("i"), T.roles[node.role] ?? node.role);
    const numbers = [node.term, node.committed, node.applied, node.lag];
    const cells = numbers.map((value) => (node.reachable ? count(value) : T.none));
    const rate = node_rates.get(node.id);
    cells.push(rate ? count(Math.round(rate.accepted)) : T.none);
    return { kind: node.role, cells: [String(node.id), role, ...cells] };
  });
  table("nodes", columns, rows, T.nobody);
  tile("leader", cluster.leader ? T.leads(cluster.leader) : T.no_leader, !cluster.leader);
}

function show_elections(room) {
  for (const { at_ms, term, leader } of room.elections) {
    const key = `${term} ${leader}`;
    if (!elections.has(key)) elections.set(key, { at_ms, term, leader });
  }
  const all = [...elections.values()].sort((a, b) => b.at_ms - a.at_ms).slice(0, ELECTIONS_SHOWN);
  const place = find("elections").querySelector(".scroll");
  const item = ({ at_ms, term, leader }) => el("li", { class: leader ? "won" : "lost" },
    leader ? T.elected(leader, term) : T.lost, el("time", {}, time(at_ms)));
  place.replaceChildren(all.length
    ? el("ol", {}, ...all.map(item)) : el("p", { class: "idle" }, T.no_elections));
}

function show_holds(room) {
  const columns = [column(T.hold_columns.hold), column(T.hold_columns.what, "grow"),
    column(T.hold_columns.ends, "n")];
  const row = ({ hold_id, items, expires_at }) => ({
    cells: [String(hold_id), lines_of(items), clock(Date.parse(expires_at) - nodes.now())],
  });
  table("holds", columns, room.holds.oldest.slice(0, 8).map(row), T.no_holds);
  const title = find("holds-title");
  title.replaceChildren(T.holds_title, el("span", { class: "more" }, T.holds_open(room.holds.open)));
}

async function show_orders(seq) {
  const after = Math.max(0, seq - ORDERS_BACK);
  const path = `/v1/orders?consistency=stale&after=${after}&limit=${ORDERS_BACK}`;
  const { orders } = await nodes.read(path);
  if (orders.length === 0 && after > 0 && find("orders").querySelector("table")) return;
  const columns = [column(T.order_columns.order), column(T.order_columns.buyer, "short"),
    column(T.order_columns.what, "grow"), column(T.order_columns.when, "n")];
  const row = ({ order_id, user_id, items, at_ms }) => ({
    cells: [count(order_id), user_id, lines_of(items), time(at_ms)],
  });
  table("orders", columns, orders.slice(-ORDERS_SHOWN).reverse().map(row), T.no_orders);
}

function show_products(list) {
  products = list.products;
  storm.products(products);
  const sum = (field) => count(products.reduce((all, product) => all + product[field], 0));
  tile("left", sum("available"));
  tile("sold", sum("sold"));
  tile("held", sum("held"));
  // While the stream tells them, it is ahead of a list.
  const told = find("live").classList.contains("on");
  for (const { id, available } of products) {
    if (!told || !levels.has(id)) levels.set(id, available);
  }
}

// Every node counts for itself, so every one is asked; by whom it was answered, an answer says.
// Behind a balancer nobody can choose: so many are asked at once that mostly all answer, and what is
// shown says of which nodes it is.
async function scrape() {
  const one = async (base) => {
    const { status, node, body } = await nodes.ask(base, "/metrics");
    if (status !== 200 || !node) throw new Error("no scrape");
    return [node, Date.now(), read_scrape(body)];
  };
  const served = { ...nodes.served };
  const balanced = Array(ASKS_FOR_EACH * nodes.configured).fill(nodes.current);
  const answers = await Promise.allSettled((nodes.advertised ? nodes.bases : balanced).map(one));
  nodes.served = served;
  const scrapes = answers.filter(({ status }) => status === "fulfilled").map(({ value }) => value);
  // The newest of each node.
  return [...new Map(scrapes.sort(([, a], [, b]) => a - b).map((one) => [one[0], one])).values()];
}

async function show_rates() {
  const scrapes = await scrape();
  const { rates: now, nodes: of, p50, p95, p99 } = gauges.take(scrapes, nodes.advertised);
  node_rates = of;
  if (cluster_seen) show_nodes(cluster_seen);
  const heard = [...of.keys()].sort((a, b) => a - b);
  if (heard.length > 0) {
    const all = heard.length >= nodes.configured;
    charts.rates.tells(all ? T.rates_what : T.rates_of(heard));
    charts.latency.tells(all ? T.latency_what : T.latency_of(heard));
  }
  const at = Date.now();
  for (const [kind, points] of Object.entries(rates)) keep(points, at, now[kind]);
  for (const [kind, value] of Object.entries({ p50, p95, p99 })) {
    keep(latency[kind], at, value === Infinity ? 5000 : value);
  }
  tile("rate", count(Math.round(now.accepted)));
  tile("p99", ms(p99));
}

function draw() {
  const now = Date.now();
  for (const [id, left] of levels) {
    if (!stock.has(id)) stock.set(id, []);
    keep(stock.get(id), now, left);
  }
  const marks = [...elections.values()].map(({ at_ms, leader }) => ({
    at_ms: at_ms - nodes.ahead_ms, text: leader ? T.leads(leader) : "", bad: !leader,
  })).sort((a, b) => a.at_ms - b.at_ms);
  const busiest = new Set([...products].sort((a, b) => b.sold - a.sold).slice(0, LINES_MAX));
  charts.stock.draw(now, products.filter((one) => busiest.has(one)).map(({ id, name }, n) => ({
    name, kind: `s${n + 1}`, color: `--s${n + 1}`, dash: DASHES[n], fill: n === 0,
    points: stock.get(id) ?? [], now: count(levels.get(id) ?? 0),
  })), marks);
  const line = (points, name, kind, color, words, more) =>
    ({ name, kind, color, points, now: words(points.at(-1)?.[1] ?? null), ...more });
  const rate = (value) => count(Math.round(value ?? 0));
  charts.rates.draw(now, [
    line(rates.accepted, T.accepted, "accepted", "--s1", rate, { fill: true }),
    line(rates.refused, T.refused, "refused", "--s5", rate, { dash: DASHES[1] }),
    line(rates.failed, T.failed, "failed", "--bad", rate, { dash: DASHES[2] }),
  ], marks);
  charts.latency.draw(now, [
    line(latency.p50, T.p50, "p50", "--s1", ms),
    line(latency.p95, T.p95, "p95", "--s2", ms, { dash: DASHES[1] }),
    line(latency.p99, T.p99, "p99", "--bad", ms, { dash: DASHES[2] }),
  ], marks);
}

async function look() {
  const cluster = nodes.read("/v1/cluster").then(show_nodes);
  const list = nodes.read("/v1/products?consistency=stale&limit=1000").then((list) => {
    show_products(list);
    return show_orders(list.seq);
  });
  const room = nodes.read("/v1/control?consistency=stale").then(async (room) => {
    nodes.learn(room);
    show_elections(room);
    show_holds(room);
    const leader = `http://${room.nodes.find(({ id }) => id === nodes.served.leader)?.http}`;
    storm.follower = () => nodes.bases.find((base) => base !== leader);
    const there = storm.base && storm.base !== nodes.current
      ? (await nodes.ask(storm.base, "/v1/control?consistency=stale").catch(() => null))?.body : room;
    storm.update(room.demo, there?.storm);
  });
  await Promise.allSettled([cluster, list, room, show_rates()]);
}

function live(is_live) {
  const pill = find("live");
  pill.classList.toggle("on", is_live);
  say(pill.querySelector("span"), is_live ? T.live : T.not_live);
}

function served() {
  const { node, leader } = nodes.served;
  if (node) say(find("served"), T.served(node, leader));
}

async function start() {
  fill();
  keep_pages();
  document.title = T.control_title;
  live(false);
  const chart = (id, title, what, top_min, format) =>
    new Chart(find(id), { title, what, window_ms: WINDOW_MS, top_min, format });
  charts = {
    stock: chart("stock", T.stock_title, T.stock_what, 10, count),
    rates: chart("rates", T.rates_title, T.rates_what, 10, count),
    latency: chart("latency", T.latency_title, T.latency_what, 10, T.ms),
  };
  storm = new StormPanel(nodes);
  for (const key of Object.keys(T.tile)) tile(key, T.none);
  nodes.addEventListener("served", served);
  nodes.follow();
  listen(nodes, ({ product_id, stock: left }) => levels.set(product_id, left), live);
  setInterval(draw, DRAW_MS);
  for (;;) {
    const began = Date.now();
    await look();
    await new Promise((wake) => setTimeout(wake, Math.max(100, LOOK_MS - (Date.now() - began))));
  }
}

start();
