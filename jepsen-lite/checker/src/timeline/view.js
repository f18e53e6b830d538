// Draws operations on a canvas: those in sight alone, and at most one a pixel and lane.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const KINDS = ["ok", "fail", "info"];
const AXIS = 24; // Heights in CSS pixels.
const ROW_MIN = 24;
const ROW_MAX = 34;
const canvas = document.querySelector("canvas");
const pen = canvas.getContext("2d");
const tip = $("tip");

const operations = data.operations.map(
  ([lane, process, begin, end, kind, marked, label, detail]) =>
    ({ lane, process, begin, end, kind: KINDS[kind], marked: marked === 1, label, detail }));
const faults = data.faults.map(([label, begin, end]) => ({ label, begin, end }));
const marked = operations.filter((operation) => operation.marked);
let last = 1;
for (const { begin, end } of [...faults, { begin: 0, end: data.until }]) {
  last = Math.max(last, begin, end);
}
// The operations of each lane by their begin, and the latest end so far: where to stop looking
// back from a moment.
const lanes = data.lanes.map((name) => ({ name, members: [], ends: [] }));
for (const operation of operations) {
  const { members, ends } = lanes[operation.lane];
  members.push(operation);
  ends.push(Math.max(ends.at(-1) ?? 0, operation.begin, operation.end));
}

let [from, to] = [0, last * 1.02]; // In sight.
let scroll = 0;
let selected = null;
let colour = {};
let [width, height, left, top, row] = [0, 0, 0, 0, ROW_MIN];

const bottom = () => top + lanes.length * row - scroll;
const x = (at) => left + ((at - from) / (to - from)) * (width - left);
const moment = (px) => from + ((px - left) / (width - left)) * (to - from);
// What never ended fades out over a part of what is in sight; a whole bar would hide the others.
const fades = () => Math.min((to - from) * 0.18, last / 50);
const until = (it) => (it.end < 0 ? it.begin + fades() : it.end);

/** The first index at which `is` holds, of an array where it holds from some index on. */
function first(array, is) {
  let [low, high] = [0, array.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (is(array[middle])) high = middle;
    else low = middle + 1;
  }
  return low;
}

function time(at) {
  if (data.unit !== "ns") return String(Math.round(at));
  const seen = to - from;
  if (seen < 2e6) return (at / 1e3).toFixed(1) + " µs";
  if (seen < 2e9) return (at / 1e6).toFixed(seen < 2e8 ? 2 : 0) + " ms";
  return (at / 1e9).toFixed(seen < 2e10 ? 2 : 1) + " s";
}

function learnColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["card", "ink", "dim", "line", "ok", "fail", "info", "bad", "fault", "band",
    "on"]) {
    colour[name] = style.getPropertyValue("--" + name).trim();
  }
}

function fit() {
  const box = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  [width, height, left] = [box.width, box.height, box.width < 600 ? 64 : 92];
  top = AXIS + (faults.length ? ROW_MIN : 0);
  const share = Math.floor((height - top) / (lanes.length || 1));
  row = Math.max(ROW_MIN, Math.min(ROW_MAX, share));
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.font = "12px system-ui, sans-serif";
  pen.textBaseline = "middle";
  scroll = Math.max(0, Math.min(scroll, bottom() - height + scroll));
}

function draw() {
  pending = false;
  fit();
  pen.clearRect(0, 0, width, height);
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, width - left, height);
  pen.clip();
  for (const fault of faults) {
    const [begin, end] = [x(fault.begin), fault.end < 0 ? width : x(fault.end)];
    pen.fillStyle = colour.band;
    pen.fillRect(begin, AXIS, Math.max(2, end - begin), Math.min(height, bottom()) - AXIS);
  }
  lanes.forEach((lane, index) => {
    const y = top + index * row - scroll;
    if (y > top - row && y < height) drawLane(lane, y);
  });
  drawWindow();
  pen.restore();
  drawNames();
  drawAxis();
}

function drawLane({ members, ends }, y) {
  pen.fillStyle = colour.line;
  pen.fillRect(left, y + row - 1, width - left, 1);
  const beyond = first(members, (operation) => operation.begin > to);
  let crowd = null;
  const above = []; // Drawn last, so that no neighbour hides them.
  for (let at = first(ends, (end) => end >= from - fades()); at < beyond; at++) {
    const operation = members[at];
    if (until(operation) < from) continue;
    const begin = Math.max(left - 4, x(operation.begin));
    const wide = Math.min(width + 4, x(until(operation))) - begin;
    if (operation.marked || operation === selected) {
      above.push([operation, [begin, Math.max(5, wide)]]);
      continue;
    }
    if (wide >= 1.5) {
      drawBar(operation, [begin, wide], y);
      continue;
    }
    const pixel = Math.floor(begin);
    if (crowd?.pixel !== pixel) {
      drawCrowd(crowd, y);
      crowd = { pixel, ok: 0, fail: 0, info: 0 };
    }
    crowd[operation.kind]++;
  }
  drawCrowd(crowd, y);
  for (const [operation, span] of above) drawBar(operation, span, y);
}

/** What begins on one pixel, in the colour of the most; but no unknown one is hidden. */
function drawCrowd(crowd, y) {
  if (!crowd) return;
  pen.fillStyle = colour[crowd.info ? "info" : crowd.ok >= crowd.fail ? "ok" : "fail"];
  pen.globalAlpha = 0.85;
  pen.fillRect(crowd.pixel, y + 3, 1, row - 7);
  pen.globalAlpha = 1;
}

function drawBar(operation, [begin, wide], y) {
  const fill = operation.marked ? colour.bad : colour[operation.kind];
  pen.fillStyle = fill;
  if (operation.end < 0) {
    pen.fillStyle = pen.createLinearGradient(begin, 0, begin + wide, 0);
    pen.fillStyle.addColorStop(0, fill);
    pen.fillStyle.addColorStop(1, "transparent");
  }
  pen.globalAlpha = operation.marked || operation === selected ? 1 : 0.85;
  drawBox([begin, wide], [y, row]);
  pen.globalAlpha = 1;
  if (operation === selected) {
    pen.strokeStyle = colour.ink;
    pen.lineWidth = 2;
    pen.strokeRect(begin, y + 3, wide, row - 7);
  }
  const ink = operation.end < 0 ? colour.ink : colour.on;
  write(operation.label, [begin, wide], y + row / 2, ink);
}

/** A bar in a row; rounded where that is to be seen. */
function drawBox([begin, wide], [y, high]) {
  if (wide < 4) {
    pen.fillRect(begin, y + 3, wide, high - 7);
    return;
  }
  pen.beginPath();
  pen.roundRect(begin, y + 3, wide, high - 7, 3);
  pen.fill();
}

/** Writes on a bar as much as fits, around this height. */
function write(text, [begin, wide], y, ink) {
  const start = Math.max(begin, left);
  const room = begin + wide - start - 8;
  if (room < 26) return;
  pen.save();
  pen.beginPath();
  pen.rect(start, y - row / 2, room + 6, row);
  pen.clip();
  pen.fillStyle = ink;
  pen.fillText(text, start + 5, y);
  pen.restore();
}

function drawWindow() {
  if (!data.window) return;
  const [begin, end] = data.window.map(x);
  pen.strokeStyle = colour.bad;
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  const [wide, high] = [Math.max(6, end - begin + 6), Math.min(height, bottom()) - top - 3];
  pen.strokeRect(begin - 3, top + 1, wide, high);
  pen.setLineDash([]);
}

function drawNames() {
  pen.textAlign = "right";
  lanes.forEach(({ name }, index) => {
    const y = top + (index + 0.5) * row - scroll;
    if (y < top || y > height) return;
    pen.fillStyle = colour.dim;
    pen.fillText(name, left - 8, y, left - 12);
  });
  pen.textAlign = "left";
}

/** Moments and faults, above whatever is scrolled. */
function drawAxis() {
  pen.fillStyle = colour.card;
  pen.fillRect(0, 0, width, top);
  const least = (to - from) / Math.max(2, (width - left) / 110);
  const power = 10 ** Math.floor(Math.log10(least));
  const wide = [1, 2, 5, 10].map((by) => by * power).find((wide) => wide >= least);
  // Positions are whole numbers: no label stands twice.
  const step = data.unit === "ns" ? wide : Math.max(wide, 1);
  for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
    if (at < 0 || x(at) < left) continue;
    pen.fillStyle = colour.line;
    pen.fillRect(x(at), 4, 1, AXIS - 4);
    pen.fillStyle = colour.dim;
    pen.fillText(time(at), x(at) + 4, 11);
  }
  pen.fillStyle = colour.line;
  pen.fillRect(0, top - 1, width, 1);
  if (!faults.length) return;
  pen.fillStyle = colour.dim;
  pen.textAlign = "right";
  pen.fillText("nemesis", left - 8, AXIS + ROW_MIN / 2, left - 12);
  pen.textAlign = "left";
  pen.save();
  pen.beginPath();
  pen.rect(left, AXIS, width - left, ROW_MIN);
  pen.clip();
  for (const fault of faults) {
    const [begin, end] = [x(fault.begin), fault.end < 0 ? width : x(fault.end)];
    const span = [begin, Math.max(2, end - begin)];
    pen.fillStyle = colour.fault;
    drawBox(span, [AXIS, ROW_MIN]);
    write(fault.label, span, AXIS + ROW_MIN / 2, colour.on);
  }
  pen.restore();
}

let pending = false;
function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(draw);
}

function look(begin, end) {
  const span = Math.min(Math.max(end - begin, last / 1e7, 1e-6), last * 1.3);
  from = Math.max(-last * 0.1, Math.min(begin, last * 1.1 - span / 2));
  to = from + span;
  redraw();
}

function zoom(by, px) {
  const at = moment(px);
  look(at - (at - from) * by, at + (to - at) * by);
}

const centre = () => (width + left) / 2;

/** What is at a place: of several operations the marked one, else the one that began last. */
function at(px, py) {
  const [now, slack] = [moment(px), ((to - from) / (width - left)) * 4];
  const within = ({ begin, end }) => begin <= now + slack && (end < 0 || end >= now - slack);
  if (px < left || py < AXIS) return null;
  const band = faults.findLast(within) ?? null;
  if (py < top) return band;
  const lane = lanes[Math.floor((py - top + scroll) / row)];
  if (!lane) return band;
  const { members, ends } = lane;
  const begun = first(members, ({ begin }) => begin > now + slack);
  let best = null;
  // Of a crowd on one pixel the last ones are enough.
  for (let index = begun - 1; index >= Math.max(0, begun - 4000); index--) {
    if (ends[index] < now - slack - fades()) break;
    if (until(members[index]) < now - slack) continue;
    if (members[index].marked) return members[index];
    best ??= members[index];
  }
  return best ?? band;
}

function tell(it, px, py) {
  tip.style.display = it ? "block" : "none";
  if (!it) return;
  const line = (tag, text, name) => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (name) element.className = name;
    return element;
  };
  const span = time(it.begin) + " → " + (it.end < 0 ? "never ended" : time(it.end));
  tip.replaceChildren(line("b", it.label));
  if (it.marked) tip.append(line("b", "cannot be placed", "bad"));
  const who = it.kind ? "process " + it.process + ", " + it.kind : "nemesis";
  tip.append(line("span", who + "\n" + span));
  if (it.detail) tip.append("\n" + it.detail);
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  tip.style.left = Math.max(8, Math.min(width - wide - 8, px + 14)) + "px";
  const above = py - high - 12 > 0 ? py - high - 12 : 8;
  tip.style.top = (py + 20 + high > height ? above : py + 20) + "px";
}

/** Selects an operation, brings it into sight, tells of it. */
function go(operation) {
  if (!operation) return;
  selected = operation;
  const { begin } = operation;
  const end = operation.end < 0 ? begin + fades() : operation.end;
  const span = Math.max((end - begin) * 6, Math.min(to - from, last / 100));
  if (begin < from || end > to || to - from > span * 20) {
    look((begin + end - span) / 2, (begin + end + span) / 2);
  }
  scroll = operation.lane * row - (height - top) / 2;
  draw();
  tell(operation, x(begin), top + (operation.lane + 0.5) * row - scroll);
}

function problem() {
  const next = marked[(marked.indexOf(selected) + 1) % marked.length];
  if (data.window) {
    const margin = Math.max((data.window[1] - data.window[0]) * 0.3, last / 100);
    look(data.window[0] - margin, data.window[1] + margin);
  }
  if (next) go(next);
}

function step(by) {
  go(operations[operations.indexOf(selected) + by]);
}

function find(words) {
  const wanted = words.toLowerCase();
  const start = operations.indexOf(selected);
  for (let index = 1; index <= operations.length; index++) {
    const operation = operations[(start + index) % operations.length];
    const text = `${operation.label} ${operation.detail} process ${operation.process}`;
    if (text.toLowerCase().includes(wanted)) return operation;
  }
  return null;
}

// Pointers: one drags, two pinch, a tap selects.
const pointers = new Map();
let apart = 0;
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  const { offsetX, offsetY } = event;
  pointers.set(event.pointerId, { px: offsetX, py: offsetY, startX: offsetX, startY: offsetY });
  apart = 0;
};
canvas.onpointermove = ({ pointerId, offsetX, offsetY }) => {
  const pointer = pointers.get(pointerId);
  if (!pointer) {
    tell(at(offsetX, offsetY), offsetX, offsetY);
    return;
  }
  const { px, py } = pointer;
  [pointer.px, pointer.py] = [offsetX, offsetY];
  if (pointers.size > 1) {
    const [one, other] = [...pointers.values()];
    const now = Math.abs(one.px - other.px) + 1;
    if (apart) zoom(apart / now, (one.px + other.px) / 2);
    apart = now;
    return;
  }
  const moved = ((offsetX - px) / (width - left)) * (to - from);
  scroll -= offsetY - py;
  look(from - moved, to - moved);
};
canvas.onpointerup = canvas.onpointercancel = ({ pointerId, offsetX, offsetY }) => {
  const pointer = pointers.get(pointerId);
  pointers.delete(pointerId);
  if (!pointer || Math.hypot(offsetX - pointer.startX, offsetY - pointer.startY) > 4) return;
  const hit = at(offsetX, offsetY);
  selected = hit?.kind ? hit : null;
  tell(hit, offsetX, offsetY);
  redraw();
};
canvas.onpointerleave = () => {
  if (!selected) tell(null);
};
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  const { deltaX, deltaY, shiftKey, offsetX } = event;
  if (shiftKey) {
    scroll += deltaY;
    redraw();
  } else if (Math.abs(deltaX) > Math.abs(deltaY)) {
    const moved = (deltaX / (width - left)) * (to - from);
    look(from + moved, to + moved);
  } else zoom(Math.exp(deltaY * 0.0015), offsetX);
}, { passive: false });

const shift = (share) => look(from + (to - from) * share, to + (to - from) * share);
const roll = (rows) => {
  scroll += rows * row;
  redraw();
};
const keys = {
  ArrowLeft: () => shift(-1 / 8),
  ArrowRight: () => shift(1 / 8),
  ArrowUp: () => roll(-1),
  ArrowDown: () => roll(1),
  "+": () => zoom(0.6, centre()),
  "=": () => zoom(0.6, centre()),
  "-": () => zoom(1.6, centre()),
  n: () => step(1),
  p: () => step(-1),
  Escape: () => {
    selected = null;
    tell(null);
    redraw();
  },
};
canvas.onkeydown = (event) => {
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
};
$("in").onclick = () => zoom(0.5, centre());
$("out").onclick = () => zoom(2, centre());
$("all").onclick = () => look(0, last * 1.02);
$("problem").onclick = problem;
$("find").onkeydown = ({ key, target }) => {
  if (key !== "Enter" || !target.value) return;
  const found = find(target.value);
  target.classList.toggle("none", !found);
  go(found);
};

function key(name, words) {
  const item = document.createElement("li");
  const swatch = document.createElement("i");
  swatch.style.background = `var(--${name})`;
  item.append(...(name ? [swatch, words] : [words]));
  $("key").append(item);
}

$("title").textContent = data.title;
$("verdict").textContent = data.verdict;
$("verdict").className = data.verdict;
$("words").textContent = data.words;
$("note").textContent = data.note;
KINDS.forEach((kind) => key(kind, kind));
if (marked.length) key("bad", "cannot be placed");
if (faults.length) key("fault", "fault");
key("", operations.length.toLocaleString("en") + " operations");
$("problem").hidden = !marked.length;
learnColours();
matchMedia("(prefers-color-scheme: dark)").onchange = () => {
  learnColours();
  redraw();
};
new ResizeObserver(draw).observe(canvas);
draw();
if (marked.length) problem();
