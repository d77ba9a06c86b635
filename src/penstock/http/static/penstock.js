// Keeps parts of a page fresh. Without it a page shows what was true when it was opened.
// Leads the links that MLflow's client prints (#/experiments/0/runs/ID) to the page that shows the thing.
"use strict";
const follow = () => {
  const [, kind, first, below, second] = location.hash.match(/^#\/(experiments|models)(?:\/([^/?]+)(?:\/(runs|versions)\/([^/?]+))?)?/) || [];
  if (kind === "experiments") location.replace(below === "runs" ? `/runs/${second}` : first ? `/experiments/${first}` : "/runs");
  if (kind === "models") location.replace(below === "versions" ? `/models/${first}/${second}` : first ? `/models#${first}` : "/models");
};
addEventListener("hashchange", follow);
follow();
for (const part of document.querySelectorAll("[data-refresh]")) {
  const refresh = async () => {
    const busy = document.hidden || part.contains(document.activeElement) || !document.getSelection().isCollapsed;
    if (busy || part.querySelector("details[open]")) return;
    try {
      const answer = await fetch(part.dataset.refresh, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      part.replaceChildren(...fresh.body.childNodes);
      part.classList.remove("stale");
    } catch {
      part.classList.add("stale");
    }
  };
  setInterval(refresh, 1000 * Number(part.dataset.every));
}
