// Keeps pages fresh, tells times in the reader's zone, leads MLflow's addresses to ours. Every page works without it.
"use strict";
const base = document.currentScript.dataset.base;
document.documentElement.classList.add("js");

// MLflow's client and its users' bookmarks have addresses such as #/experiments/0/runs/ID.
const follow = () => {
  const [path, query] = location.hash.slice(2).split("?");
  const [kind, first, below, second] = path.split("/");
  if (!location.hash.startsWith("#/")) return;
  const runs = new URLSearchParams(query).get("runs");
  let to = null;
  if (kind === "experiments") to = below === "runs" ? `/runs/${second}` : below === "models" ? `/search?q=${second}` : first ? `/experiments/${first}` : "/experiments";
  if (kind === "models") to = below === "versions" ? `/models/${first}/${second}` : first ? `/models/${first}` : "/models";
  if (kind === "compare-runs") to = `/compare?runs=${(runs || "").replace(/[^\w,-]/g, "")}`;
  if (to) location.replace(base + to);
};
addEventListener("hashchange", follow);
follow();

const pad = (number) => String(number).padStart(2, "0");
const day = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;
const clock = (date) => `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
// One formatter for all: making one for each of a page's times took half a second.
const zoned = new Intl.DateTimeFormat("en", { hour: "numeric", timeZoneName: "short" });
const zone = (date) => zoned.formatToParts(date).find((one) => one.type === "timeZoneName").value;
// What somebody selected, read once before a page is written to: reading it between writes lays the page out each time.
let held = null;
const hold = () => { const chosen = getSelection(); held = chosen.isCollapsed ? null : chosen; };
const selected = (node) => held !== null && held.containsNode(node, true);
const put = (element, text) => { if (element.textContent !== text && !selected(element)) element.textContent = text; };
const age = (time) => {
  const passed = (Date.now() - time) / 1000;
  if (passed < 5) return "just now";
  for (const [length, unit] of [[3600, "h"], [60, "min"], [1, "s"]]) if (passed >= length) return `${Math.floor(passed / length)} ${unit} ago`;
  return "just now";
};
const localize = (root) => {
  hold();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const date = new Date(element.dateTime);
    if (isNaN(date)) continue;
    element.title = `${day(date)} ${clock(date)} ${zone(date)}`;
    const isOld = Date.now() - date > 864e5 || date - Date.now() > 6e4;
    put(element, element.dataset.form === "age" && !isOld ? age(date) : `${day(date)} ${clock(date)}`);
  }
  for (const element of root.querySelectorAll("[data-ms][data-form]")) {
    const date = new Date(Number(element.dataset.ms));
    if (!isNaN(date)) put(element, { HM: clock(date).slice(0, 5), MD: day(date).slice(5) }[element.dataset.form] || clock(date));
  }
};

const keyOf = (node) => (node.nodeType === 1 ? node.id || node.dataset.key || "" : "");
const isSame = (one, other) => one.nodeName === other.nodeName && keyOf(one) === keyOf(other);
// Turns what is shown into what was fetched, and touches only what differs: focus, selection, scroll and open details stay.
const morph = (shown, fresh) => {
  if (shown.nodeType !== 1) {
    if (shown.nodeValue !== fresh.nodeValue && !selected(shown)) shown.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...shown.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) shown.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (name !== "open" && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  if (shown.dataset.own !== undefined) return;
  let at = shown.firstChild;
  const coming = new Set([...fresh.childNodes].map(keyOf));
  for (const next of [...fresh.childNodes]) {
    while (at && !isSame(at, next) && keyOf(at) && !coming.has(keyOf(at))) { const gone = at; at = at.nextSibling; gone.remove(); }
    if (at && isSame(at, next)) { morph(at, next); at = at.nextSibling; continue; }
    let found = keyOf(next) ? at : null;
    while (found && !isSame(found, next)) found = found.nextSibling;
    if (!found) { shown.insertBefore(document.importNode(next, true), at); continue; }
    const focused = found.contains(document.activeElement) ? document.activeElement : null;
    shown.insertBefore(found, at);
    if (focused) focused.focus({ preventScroll: true });
    morph(found, next);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
};

const OUT = "signed out";
const stamp = document.getElementById("stamp");
const every = 1000 * Number(stamp.dataset.every || 0);
let answered = Number(stamp.dataset.ms), paused = false, failing = "", asking = false, again = false, timer = 0;
const tell = () => {
  const since = clock(new Date(answered));
  const [mood, shape, words] = !every ? ["", "○", `as of ${since}`] : failing ? ["lost", "■", `${failing} since ${since}`] : paused ? ["", "○", `paused at ${since}`] : ["live", "●", "live"];
  stamp.className = `stamp ${mood}`;
  put(stamp.querySelector(".shape"), shape);
  put(stamp.querySelector(".words"), words);
  stamp.title = `What is shown was true at ${since} ${zone(new Date(answered))}.` + (every ? ` Click to ${failing === OUT ? "sign in" : paused ? "go on" : "pause"}.` : "");
  document.documentElement.classList.toggle("lost", failing !== "");
  // How things are is no longer known; the next page that comes puts its own sentence back.
  const answer = document.querySelector("#main .answer");
  if (failing && answer) put(answer, `How things are is not known since ${since}.`);
};
const ask = async () => {
  clearTimeout(timer);
  if (asking) { again = true; return; }
  if ((paused && !again) || document.hidden) return;
  again = false;
  asking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" }, cache: "no-store", signal: AbortSignal.timeout(10000) });
    // A server that answers, and cannot tell what it was asked, is another thing than one that is gone.
    const isOut = answer.redirected && new URL(answer.url).pathname === `${base}/sign-in`;
    if (isOut || !answer.ok) throw new Error(isOut ? OUT : answer.status >= 500 ? "nothing can be told" : "no longer there");
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    localize(fresh);
    hold();
    morph(document.getElementById("main"), fresh.getElementById("main"));
    document.title = fresh.title;
    answered = Number(fresh.getElementById("stamp").dataset.ms);
    failing = "";
  } catch (error) {
    failing = [OUT, "nothing can be told", "no longer there"].includes(error.message) ? error.message : "no answer";
  }
  asking = false;
  tell();
  if (again) ask();
  else if (every) timer = setTimeout(ask, every);
};
// Shows what another query of this page tells, in place; the address names it.
const turn = (query) => { history.replaceState(null, "", `?${query}${location.hash}`); again = true; ask(); };
localize(document);
tell();
setInterval(() => document.hidden || localize(document), 5000);
if (every) {
  stamp.disabled = false;
  stamp.addEventListener("click", () => {
    if (failing === OUT) { location.assign(`${base}/sign-in?next=${encodeURIComponent(location.pathname.slice(base.length) + location.search)}`); return; }
    paused = !paused; tell(); ask();
  });
  document.addEventListener("visibilitychange", ask);
  timer = setTimeout(ask, every);
}

addEventListener("keydown", (event) => {
  const isTyping = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  document.getElementById("subject").focus();
});
document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  try { await navigator.clipboard.writeText(button.dataset.copy); put(button, "✓"); } catch { put(button, "✕"); }
  setTimeout(() => put(button, "copy"), 1200);
});
