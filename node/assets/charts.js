// Line charts on a canvas: time runs to the right edge, which is now. What a chart shows is also
// said in its legend as text, and to screen readers as its label.

import { el, say } from "./dom.js";
import { T } from "./texts.js";

const LABEL = Math.round(0.75 * parseFloat(getComputedStyle(document.documentElement).fontSize));
const ROWS = 4;

// The least round number that is no less.
const STEPS = [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10];

export function round_up(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return STEPS.map((step) => step * power).find((top) => top >= value * 0.999);
}

export class Chart {
  // `window_ms` is what is shown. `top_min` is the least top of the axis, `format` writes a value.
  constructor(figure, { title, what, window_ms, top_min, format }) {
    Object.assign(this, { figure, title, what, window_ms, top_min, format });
    this.legend = el("ul");
    this.canvas = el("canvas", { role: "img" });
    this.told = el("span", { class: "what" }, what);
    figure.append(el("figcaption", {}, el("h2", {}, title), this.told, this.legend), this.canvas);
    this.names = "";
  }

  // What it shows is another thing than before.
  tells(what) {
    this.what = what;
    say(this.told, what);
  }

  // Draws `series`, each `{ name, kind, color, dash, points: [[ms, value or null]], now }`, and
  // `marks`, each `{ at_ms, text, bad }`.
  draw(now_ms, series, marks) {
    this.words(series);
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (width === 0) return;
    if (this.canvas.width !== Math.round(width * ratio) ||
        this.canvas.height !== Math.round(height * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
    }
    const pen = this.canvas.getContext("2d");
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.figure);
    const color = (name) => style.getPropertyValue(name).trim();
    pen.font = `${LABEL}px ${style.fontFamily}`;
    const begins = now_ms - this.window_ms;
    const shown = series.flatMap(({ points }) =>
      points.filter(([at, value]) => at >= begins && value !== null).map(([, value]) => value));
    const top = round_up(Math.max(this.top_min, ...shown));
    const left = Math.max(...[0, top].map((v) => pen.measureText(this.format(v)).width)) + 10;
    const box = { left, right: width - 2, top: 22, bottom: height - LABEL - 8 };
    const x = (at) => box.left + ((at - begins) / this.window_ms) * (box.right - box.left);
    const y = (value) => box.bottom - (value / top) * (box.bottom - box.top);
    this.grid(pen, color, box, { top, x, y, begins, now_ms });
    pen.save();
    pen.beginPath();
    pen.rect(box.left, 0, box.right - box.left + 2, height);
    pen.clip();
    this.marks(pen, color, box, x, marks.filter((mark) => mark.at_ms >= begins));
    for (const line of series) this.line(pen, color, line, { x, y, begins, bottom: box.bottom });
    pen.restore();
  }

  grid(pen, color, box, { top, x, y, begins, now_ms }) {
    pen.lineWidth = 1;
    pen.strokeStyle = color("--line");
    pen.fillStyle = color("--soft");
    pen.textBaseline = "middle";
    for (let row = 0; row <= ROWS; row += 1) {
      const value = (top * row) / ROWS;
      const at = Math.round(y(value)) + 0.5;
      pen.beginPath();
      pen.moveTo(box.left, at);
      pen.lineTo(box.right, at);
      pen.stroke();
      if (row % 2 === 1) continue;
      pen.textAlign = "right";
      pen.fillText(this.format(value), box.left - 8, at);
    }
    pen.textBaseline = "alphabetic";
    const step = this.window_ms / 4;
    for (let back = 0; back <= 4; back += 1) {
      pen.textAlign = back === 0 ? "right" : back === 4 ? "left" : "center";
      const text = T.seconds_back(Math.round((back * step) / 1000));
      pen.fillText(text, Math.max(box.left, x(Math.max(begins, now_ms - back * step))), box.bottom + LABEL + 6);
    }
  }

  marks(pen, color, box, x, marks) {
    let free = -Infinity;
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    for (const { at_ms, text, bad } of marks) {
      const at = Math.round(x(at_ms)) + 0.5;
      pen.strokeStyle = color(bad ? "--bad" : "--soft");
      pen.setLineDash([3, 3]);
      pen.beginPath();
      pen.moveTo(at, box.top - 8);
      pen.lineTo(at, box.bottom);
      pen.stroke();
      pen.setLineDash([]);
      const width = pen.measureText(text).width;
      const begin = Math.min(at - 2, box.right - width);
      if (bad || begin < free) continue;
      pen.fillStyle = color("--ink");
      pen.fillText(text, begin, box.top - 11);
      free = begin + width + 10;
    }
  }

  line(pen, color, { points, color: name, dash, fill }, { x, y, begins, bottom }) {
    const first = points.findIndex(([at]) => at >= begins);
    const shown = first < 0 ? [] : points.slice(Math.max(0, first - 1));
    const runs = [[]];
    for (const point of shown) {
      if (point[1] === null) runs.push([]);
      else runs.at(-1).push(point);
    }
    pen.strokeStyle = color(name);
    pen.fillStyle = color(name);
    pen.lineWidth = 2.25;
    pen.lineJoin = "round";
    pen.setLineDash(dash ?? []);
    for (const run of runs.filter((all) => all.length > 0)) {
      pen.beginPath();
      run.forEach(([at, value], n) => (n ? pen.lineTo(x(at), y(value)) : pen.moveTo(x(at), y(value))));
      pen.stroke();
      if (!fill) continue;
      pen.lineTo(x(run.at(-1)[0]), bottom);
      pen.lineTo(x(run[0][0]), bottom);
      pen.globalAlpha = 0.12;
      pen.fill();
      pen.globalAlpha = 1;
    }
    pen.setLineDash([]);
  }

  words(series) {
    const names = series.map(({ name, kind }) => `${kind} ${name}`).join("\n");
    if (names !== this.names) {
      this.names = names;
      const item = ({ name, kind }) => el("li", { class: kind }, el("i"), el("span", {}, name), el("b"));
      this.legend.replaceChildren(...series.map(item));
    }
    series.forEach(({ now }, n) => say(this.legend.children[n].lastChild, now));
    const values = series.map(({ name, now }) => `${name} ${now}`).join(", ");
    const label = T.chart(this.title, this.what, values);
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }
}
