// Every text of the pages, in English.

const units = (count) => (count === 1 ? "1 unit" : `${count.toLocaleString("en")} units`);

function of_nodes(ids) {
  if (ids.length === 1) return `node ${ids[0]} alone`;
  return `nodes ${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
}

export const T = {
  brand: "flashnode",
  skip: "Skip to the content",
  to_control: "Control room",
  to_shop: "Shop",
  days: (days, hours) => `${days.toLocaleString("en")} days ${hours} h`,

  // The shop.
  shop_title: "Shop · flashnode",
  products_title: "On sale",
  seek: "Find a product",
  found: (shown, all) => `${shown.toLocaleString("en")} of ${all.toLocaleString("en")} products`,
  found_none: (text) => `Nothing on sale is called “${text}”.`,
  orders_title: "Your orders",
  live: "Live",
  not_live: "Reconnecting",
  loading: "Looking for the nodes",
  nobody: "No node answers right now. This page goes on looking.",
  nothing: "Nothing is on sale yet. Put something up, and it appears here:",
  nothing_how: "flashctl product create sneaker --name \"Sneaker\" --stock 10000",
  detour:
    "This page is open under an address that the nodes do not advertise, so it cannot go on with " +
    "another node by itself. Opened under an advertised one, it can:",
  served: (node, leader) =>
    leader ? `Served by node ${node}, leader node ${leader}` : `Served by node ${node}, no leader`,
  you_are: (buyer) => `You are ${buyer}`,
  another_buyer: "Be someone else",

  left: "left",
  of_stocked: (stocked) => `of ${stocked.toLocaleString("en")}`,
  in_carts: (held) => `${held.toLocaleString("en")} reserved by buyers who are paying`,
  level: (left, stocked) => `${left} of ${stocked} left`,
  opens_in: "Opens in",
  ends_in: "Ends in",
  ended: "The sale is over",
  per_user: (limit) => `${limit} per person`,
  quantity: "Quantity",
  fewer: "One fewer",
  more: "One more",
  buy: "Buy now",
  buy_at: (price) => `Buy now · ${price}`,
  reserve: (time) => `Reserve for ${time}`,
  sold_out: "Sold out",
  not_open: "Not open yet",
  over: "Sale over",

  asking: "Asking…",
  safe: "Taking longer than usual. Your click is safe: it counts once.",
  retry: {
    silence: (n) => `That node went away. Asking another one under the same key, try ${n}.`,
    unknown: (n) => `Nobody knows yet whether it went through. Settling it, try ${n}.`,
    busy: () => "No leader at the moment. Nothing was bought; asking again.",
    limited: () => "Too many clicks. Waiting before settling the last one.",
  },
  resumed: "Finding out what became of your last click.",

  bought: (order) => `It's yours. Order ${order}`,
  bought_units: (quantity, name) => `${quantity} × ${name}`,
  settled: "Your first click had gone through; it was counted once.",
  place: (place) => `Order number ${place.toLocaleString("en")} of this shop`,
  receipt: (receipt) => `Receipt ${receipt}`,
  cancelled: "cancelled",

  held_title: "Reserved for you",
  held_left: "left to confirm",
  confirm: "Confirm order",
  release: "Give back",
  released: "Given back. Someone else can have it now.",
  hold_expired: "Your reservation ran out, and its units are on sale again.",
  hold_gone: "This reservation has ended already.",

  no: {
    "/problems/sold-out": () => "Sold out. Someone was faster; nothing was charged.",
    "/problems/insufficient": (p) => `Only ${units(p.remaining ?? 0)} left, fewer than you asked for.`,
    "/problems/limit-reached": () => "You have reached the limit for one person.",
    "/problems/not-open": () => "The sale has not opened yet.",
    "/problems/sale-over": () => "The sale is over.",
    "/problems/rate-limited": (p) =>
      `Too many clicks. Try again in ${Math.max(1, Math.ceil((p.retry_after_ms ?? 1000) / 1000))} s.`,
    "/problems/hold-expired": () => T.hold_expired,
    "/problems/hold-settled": () => T.hold_gone,
    "/problems/unknown-hold": () => T.hold_gone,
    "/problems/unknown-product": () => "This product is no longer here.",
    "/problems/too-many-user-holds": () => "You have as many reservations as one can.",
  },
  no_other: (p) => `${p.title ?? "It did not work"}. ${p.detail ?? ""}`.trim(),

  // The control room.
  control_title: "Control room · flashnode",
  control_heading: "Control room",
  stock_title: "Stock",
  stock_what: "Units left, by product",
  rates_title: "Buys per second",
  rates_what: "Answers of all nodes, by outcome",
  rates_of: (ids) => `Answers of ${of_nodes(ids)}, by outcome`,
  latency_title: "Latency of a buy",
  latency_what: "As the nodes measure it, over the last five seconds",
  latency_of: (ids) => `As measured by ${of_nodes(ids)}, over the last five seconds`,
  nodes_title: "Nodes",
  holds_title: "Holds",
  orders_last_title: "Last orders",
  elections_title: "Elections",
  storm_title: "Storm",
  accepted: "accepted",
  refused: "refused",
  failed: "failed",
  p50: "p50",
  p95: "p95",
  p99: "p99",
  ms: (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`),
  beyond: (value) => `> ${Math.round(value)} ms`,
  none: "–",
  ago: (seconds) => `${seconds} s ago`,
  seconds_back: (seconds) => (seconds === 0 ? "now" : `−${seconds} s`),
  tile: {
    left: "Units left",
    sold: "Units sold",
    held: "Units on hold",
    rate: "Accepted per second",
    p99: "p99 of a buy",
    leader: "Leader",
  },
  leads: (node) => `Node ${node}`,
  no_leader: "None",
  node_columns: {
    node: "Node", role: "Role", term: "Term", commit: "Commit", applied: "Applied", lag: "Lag",
    rate: "Sold/s",
  },
  roles: {
    leader: "leader", follower: "follower", learner: "learner", candidate: "candidate",
    forming: "forming", rejoining: "rejoining", fenced: "fenced", unreachable: "down",
  },
  order_columns: { order: "Order", buyer: "Buyer", what: "Items", when: "At" },
  hold_columns: { hold: "Hold", what: "Items", ends: "Ends in" },
  no_orders: "No orders yet.",
  no_holds: "Nothing is on hold.",
  holds_open: (count) => (count === 1 ? "1 open" : `${count.toLocaleString("en")} open`),
  no_elections: "None seen since this node started.",
  elected: (node, term) => `Node ${node} leads, term ${term}`,
  lost: "No leader",
  storm_off:
    "This node was not started for demonstrations. With --demo, a storm of buyers can be let " +
    "loose on the cluster from here.",
  storm_product: "Product",
  storm_buyers: "Buyers",
  storm_go: "Let the storm loose",
  storm_stop: "Send them home",
  storm_refill: "Add 10,000 units",
  storm_none: "No storm yet.",
  storm_state: (s) =>
    `${s.running ? "Storming" : "Over"}: ${(s.accepted + s.refused + s.failed).toLocaleString("en")} of ` +
    `${s.buyers.toLocaleString("en")} buyers answered in ${(s.took_ms / 1000).toFixed(1)} s`,
  storm_counts: (s) =>
    `${s.accepted.toLocaleString("en")} accepted, ${s.refused.toLocaleString("en")} refused, ` +
    `${s.failed.toLocaleString("en")} failed, ${s.retried.toLocaleString("en")} retries`,
  refilled: "10,000 units more.",
  chart: (title, what, values) => `${title}. ${what}. Now: ${values}.`,
};
