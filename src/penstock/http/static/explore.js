// Draws a page's charts to explore by, and turns what is brushed in them into `chosen=` of the address.
"use strict";
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
const views = new Map();

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
  const before = views.get(figure.id);
  if (before) before.finalize();
  const spec = { ...JSON.parse(text), width: "container", autosize: { type: "fit-x", contains: "padding" } };
  // Without `ast`, expressions would become functions, which the content security policy forbids.
  const made = await vegaEmbed(host, spec, { mode: "vega-lite", ast: true, actions: false, defaultStyle: false, config: look(), tooltip: { disableDefaultStyle: true } });
  views.set(figure.id, { view: made.view, finalize: () => made.finalize(), text });
  // One picture with its description; the table below has what is in it.
  host.querySelector("svg").setAttribute("aria-hidden", "true");
  host.setAttribute("role", "img");
  host.removeAttribute("aria-roledescription");
  host.setAttribute("aria-label", spec.description);
  made.view.signal("chosen", places()).run();
  made.view.addSignalListener("brush", (_, brush) => brushed(spec.data.values, brush));
};
const figures = () => document.querySelectorAll(".drawing");
const redraw = (isForced) => { for (const figure of figures()) if (isForced || views.get(figure.id)?.text !== figure.querySelector(".spec").textContent) draw(figure); };
redraw(true);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(true));
new MutationObserver(() => redraw(false)).observe(document.getElementById("main"), { subtree: true, characterData: true, childList: true });
