// Draws a page's charts to explore by once they are in view, and turns what is brushed in them into `chosen=` of the address.
"use strict";
// The library is large: it is loaded after everything else, and only where a chart is looked at.
const source = document.currentScript.dataset.library;
let loading = null;
const library = () => (loading ??= new Promise((done, failed) => {
  const script = document.createElement("script");
  script.src = source;
  script.onload = done;
  script.onerror = () => { loading = null; script.remove(); failed(new Error(source)); };
  document.head.append(script);
}));
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const look = () => ({
  background: "transparent", font: getComputedStyle(document.body).fontFamily,
  view: { stroke: colour("--line") },
  axis: { labelColor: colour("--muted"), titleColor: colour("--muted"), gridColor: colour("--line"), domainColor: colour("--line"), tickColor: colour("--line"), titleFontWeight: 400, labelFontSize: 11 },
  text: { fill: colour("--muted") },
});
const runs = () => document.querySelector("input[name=runs]").value.split(",");
const picked = () => new Set((new URLSearchParams(location.search).get("chosen") || "").split(",").filter(Boolean));
const places = () => { const ids = runs(), chosen = picked(); return ids.map((id, at) => (chosen.has(id) ? at : -1)).filter((at) => at >= 0); };
// What is drawn, what was begun to be drawn (by its specification), and which figures were in view.
const views = new Map(), begunOn = new Map(), seen = new Set();

// Which runs are inside a brush: of the scatter both values, of the axes every axis under it.
const inside = (values, brush) => {
  const isIn = (value, range) => (typeof range[0] === "number" ? value >= Math.min(...range) && value <= Math.max(...range) : range.includes(value));
  if (!brush.axis) return new Set(values.filter((row) => Object.entries(brush).every(([field, range]) => isIn(row[field], range))).map((row) => row.id));
  const met = new Map();
  for (const row of values) if (brush.axis.includes(row.axis) && isIn(row.at, brush.at)) met.set(row.id, (met.get(row.id) || 0) + 1);
  return new Set([...met].filter(([, count]) => count === brush.axis.length).map(([id]) => id));
};
let waiting = 0;
const brushed = (values, brush) => {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const ids = runs(), chosen = Object.keys(brush).length ? inside(values, brush) : new Set();
    const query = new URLSearchParams(location.search);
    query.delete("chosen");
    if (chosen.size) query.set("chosen", ids.filter((_, at) => chosen.has(at)).join(","));
    turn(query.toString().replaceAll("%2C", ","));
    show();
  }, 200);
};
const show = () => { for (const { view } of views.values()) view.signal("chosen", places()).runAsync(); };
const draw = async (figure) => {
  const text = figure.querySelector(".spec").textContent, host = figure.querySelector(".drawn");
  begunOn.set(figure.id, text);
  if (!views.has(figure.id)) host.textContent = "Drawing …";
  try { await library(); } catch {
    begunOn.delete(figure.id);
    seen.delete(figure.id);
    host.textContent = "The library that draws did not come; it is asked for again when this is next in view.";
    return;
  }
  if (begunOn.get(figure.id) !== text) return;
  const before = views.get(figure.id);
  if (before) before.finalize();
  const spec = { ...JSON.parse(text), width: "container", autosize: { type: "fit-x", contains: "padding" } };
  // Without `ast`, expressions would become functions, which the content security policy forbids.
  const made = await vegaEmbed(host, spec, { mode: "vega-lite", ast: true, actions: false, defaultStyle: false, config: look(), tooltip: { disableDefaultStyle: true } });
  views.set(figure.id, { view: made.view, finalize: () => made.finalize() });
  // One picture with its description; the table below has what is in it.
  host.querySelector("svg").setAttribute("aria-hidden", "true");
  host.setAttribute("role", "img");
  host.removeAttribute("aria-roledescription");
  host.setAttribute("aria-label", spec.description);
  made.view.signal("chosen", places()).run();
  made.view.addSignalListener("brush", (_, brush) => brushed(spec.data.values, brush));
};
const figures = () => document.querySelectorAll(".drawing");
const isStale = (figure) => begunOn.get(figure.id) !== figure.querySelector(".spec").textContent;
const redraw = (isForced) => { for (const figure of figures()) if (seen.has(figure.id) && (isForced || isStale(figure))) draw(figure); };
const looking = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    seen.add(target.id);
    if (isStale(target)) draw(target);
  }
}, { rootMargin: "200px" });
const observe = () => { for (const figure of figures()) looking.observe(figure); };
if (document.readyState === "complete") observe(); else addEventListener("load", observe);
addEventListener("beforeprint", () => { for (const figure of figures()) { seen.add(figure.id); if (isStale(figure)) draw(figure); } });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(true));
new MutationObserver(() => { observe(); redraw(false); }).observe(document.getElementById("main"), { subtree: true, characterData: true, childList: true });
