// A cursor that all charts of one kind of axis share, with the values under it; a span of time that is drawn is the address's.
"use strict";
const SVG = "http://www.w3.org/2000/svg";
const framed = (svg) => {
  const [left, right, top, base] = svg.dataset.plot.split(" ").map(Number);
  const [first, last, low, high] = ["first", "last", "low", "high"].map((name) => Number(svg.dataset[name]));
  return { left, right, top, base, first, last, low, high };
};
const across = (svg, event) => {
  const box = svg.getBoundingClientRect(), frame = framed(svg), x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  return Math.min(frame.right, Math.max(frame.left, x));
};
const told = (value) => (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3))));
const part = (name, values) => { const made = document.createElementNS(SVG, name); for (const [key, value] of Object.entries(values)) made.setAttribute(key, value); return made; };
// The points of a chart's lines and bars, by series.
const points = (svg) => [...svg.querySelectorAll(".series")].map((series) => ({
  name: series.classList[1],
  at: [...series.querySelectorAll(".line, .dot, .bar")].flatMap((one) => one.tagName === "polyline" ? one.getAttribute("points").split(" ").map((pair) => pair.split(",").map(Number))
    : one.tagName === "circle" ? [[Number(one.getAttribute("cx")), Number(one.getAttribute("cy"))]] : [[Number(one.getAttribute("x")) + Number(one.getAttribute("width")) / 2, Number(one.getAttribute("y"))]]),
})).filter((series) => series.at.length);
const REACH = 12;
const point = (svg, x) => {
  const frame = framed(svg), group = svg.querySelector(".pointer"), out = svg.closest("figure").querySelector(".readout");
  const near = points(svg).map(({ name, at }) => ({ name, place: at.reduce((best, one) => (Math.abs(one[0] - x) < Math.abs(best[0] - x) ? one : best)) })).filter(({ place }) => Math.abs(place[0] - x) <= REACH);
  const line = near.length ? near.reduce((best, one) => (Math.abs(one.place[0] - x) < Math.abs(best.place[0] - x) ? one : best)).place[0] : x;
  const moment = frame.first + ((line - frame.left) / (frame.right - frame.left)) * (frame.last - frame.first);
  const value = (y) => { const number = frame.low + ((frame.base - y) / (frame.base - frame.top)) * (frame.high - frame.low); return told("log" in svg.dataset ? 10 ** number : number); };
  group.replaceChildren(part("line", { x1: line, x2: line, y1: frame.top, y2: frame.base }), ...near.map(({ place, name }) => part("circle", { cx: place[0], cy: place[1], r: 3.5, class: name })));
  out.textContent = `${"time" in svg.dataset ? (frame.last - frame.first > 864e5 ? `${day(new Date(moment))} ` : "") + clock(new Date(moment)) : told(Math.round(moment))}: ${near.map(({ place }) => value(place[1])).join(" · ") || "–"}`;
};
const clear = () => { for (const one of document.querySelectorAll(".pointer, .readout")) one.replaceChildren(); };
const alike = (svg) => [...document.querySelectorAll("svg[data-plot]")].filter((one) => one.dataset.first === svg.dataset.first && one.dataset.last === svg.dataset.last);
let begun = null;
const span = (svg, from, to) => {
  const frame = framed(svg);
  svg.querySelector(".pointer").replaceChildren(part("rect", { x: Math.min(from, to), width: Math.abs(to - from), y: frame.top, height: frame.base - frame.top }));
};
document.addEventListener("pointermove", (event) => {
  if (begun) { span(begun.svg, begun.x, across(begun.svg, event)); return; }
  const svg = event.target.closest?.("svg[data-plot]");
  if (!svg) { clear(); return; }
  const x = across(svg, event);
  for (const one of alike(svg)) point(one, x);
});
document.addEventListener("pointerdown", (event) => {
  const svg = event.target.closest?.("svg.brushable");
  if (!svg || event.button !== 0 || event.pointerType === "touch") return;
  event.preventDefault();
  begun = { svg, x: across(svg, event) };
});
document.addEventListener("pointerup", (event) => {
  if (!begun) return;
  const { svg, x } = begun, frame = framed(svg), end = across(svg, event);
  begun = null;
  clear();
  if (Math.abs(end - x) < 6) return;
  const moment = (at, round) => new Date(1000 * round((frame.first + ((at - frame.left) / (frame.right - frame.left)) * (frame.last - frame.first)) / 1000)).toISOString().slice(0, 19);
  const query = new URLSearchParams(location.search);
  query.delete("span");
  query.set("from", moment(Math.min(x, end), Math.floor));
  query.set("to", moment(Math.max(x, end), Math.ceil));
  location.assign(`?${query.toString().replaceAll("%3A", ":")}#traffic`);
});
addEventListener("keydown", (event) => { if (event.key === "Escape" && begun) { begun = null; clear(); } });
