// Elements, made of texts and never of markup, so that nothing a seller or a buyer writes is ever
// more than text.

import { T } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

function give(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

// An element with attributes, listeners (`onclick`) and children, texts among them.
export function el(tag, properties, ...children) {
  return give(document.createElement(tag), properties, children);
}

// The same for drawings.
export function svg(tag, properties, ...children) {
  return give(document.createElementNS(SVG, tag), properties, children);
}

export const find = (id) => document.getElementById(id);

// Sets a text where it differs: a screen reader is told of changes only.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// A button that does nothing for a moment. It is not disabled: then it would lose the focus, and
// whoever pressed it by keyboard the place.
export function rest(button, resting) {
  if (resting) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

export function show(node, visible) {
  node.hidden = !visible;
}

// Puts the texts of a page's skeleton in place.
export function fill() {
  for (const node of document.querySelectorAll("[data-text]")) {
    node.textContent = T[node.dataset.text];
  }
}

const number = new Intl.NumberFormat("en");
export const count = (value) => number.format(value);

// A price in minor units, as people write it. A currency that the browser does not know is still
// a currency.
export function money(units, currency) {
  try {
    const format = new Intl.NumberFormat("en", { style: "currency", currency });
    return format.format(units / 10 ** format.resolvedOptions().maximumFractionDigits);
  } catch {
    return `${count(units)} ${currency}`;
  }
}

// 02:09:05, or 09:05 under an hour; never below zero.
export function clock(ms) {
  const all = Math.max(0, Math.ceil(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, all % 60];
  if (h >= 48) return T.days(Math.floor(h / 24), h % 24);
  return h > 0 ? `${two(h)}:${two(m)}:${two(s)}` : `${two(m)}:${two(s)}`;
}

// The time of day of an instant.
export const time = (ms) => new Date(ms).toLocaleTimeString("en", { hour12: false });
