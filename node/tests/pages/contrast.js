// Run in a page: what does not stand out from its ground as WCAG 2.1 AA asks, a line each.
const number = (text) => text.match(/-?[\d.]+/g).map(Number);
function parse(text) {
  const [r, g, b, a = 1] = number(text.replace("srgb", ""));
  const scale = text.startsWith("color(") ? 255 : 1;
  return [r * scale, g * scale, b * scale, a];
}
const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
function luminance([r, g, b]) {
  const part = (value) => {
    const one = value / 255;
    return one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
}
function ratio(first, second) {
  const [high, low] = [luminance(first), luminance(second)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}
// The colour behind what an element shows.
function ground(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
}
const seen = (element) => {
  const { width, height } = element.getBoundingClientRect();
  return element.checkVisibility() && width > 1 && height > 1 && !element.closest(".unseen, .skip");
};
const wrong = [];
const hold = (what, found, wanted) => {
  if (found < wanted) wrong.push(`${what}: ${found.toFixed(2)} to 1, not ${wanted}`);
};
let looked_at = 0;
function text(element, words) {
  const { color, fontSize, fontWeight } = getComputedStyle(element);
  const size = parseFloat(fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(fontWeight) >= 700);
  const behind = ground(element);
  hold(`“${words}”`, ratio(over(parse(color), behind), behind), large ? 3 : 4.5);
  looked_at += 1;
}
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode()) {
  const { parentElement, textContent } = walker.currentNode;
  if (textContent.trim() && !["SCRIPT", "NOSCRIPT", "OPTION"].includes(parentElement.tagName) && seen(parentElement)) {
    text(parentElement, textContent.trim().slice(0, 40));
  }
}
for (const field of document.querySelectorAll("input, select")) {
  if (seen(field)) text(field, `field ${field.id}`);
}
// By what one sees where to click or to type.
for (const one of document.querySelectorAll(".buy, .quiet, .steps, input, select")) {
  if (!seen(one) || one.disabled || one.closest(".steps") !== (one.matches(".steps") ? one : null)) continue;
  const outside = ground(one.parentElement);
  const { borderTopColor, borderTopWidth } = getComputedStyle(one);
  const border = parseFloat(borderTopWidth) > 0 ? ratio(over(parse(borderTopColor), outside), outside) : 1;
  hold(`the edge of ${one.className || one.id}`, Math.max(border, ratio(ground(one), outside)), 3);
}
if (looked_at < 20) wrong.push(`only ${looked_at} texts were seen`);
return wrong.join("\n");
