// Keeps parts of a page fresh. Without it a page shows what was true when it was opened.
"use strict";
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
