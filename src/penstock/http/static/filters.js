// Completes a filter of runs clause by clause: a key, then an operator, then `and`. Native lists do the showing.
"use strict";
const OPERATORS = { metrics: ["=", "!=", ">", ">=", "<", "<="], others: ["= ''", "!= ''", "LIKE '%%'", "ILIKE '%%'"], start_time: ["> ", "< "] };
const ATTRIBUTES = ["attributes.status", "attributes.run_name", "attributes.start_time", "attributes.user_id"];
for (const input of document.querySelectorAll("[data-complete]")) {
  const list = document.getElementById(input.getAttribute("list")), keys = [...list.options].map((one) => one.value);
  const quoted = (key) => { const [kind, name] = [key.slice(0, key.indexOf(".")), key.slice(key.indexOf(".") + 1)]; return /^[A-Za-z_]\w*$/.test(name) ? key : `${kind}.${name.includes("`") ? `"${name}"` : `\`${name}\``}`; };
  const known = [...keys.map(quoted), ...ATTRIBUTES];
  const complete = () => {
    const text = input.value, at = text.toLowerCase().lastIndexOf(" and "), begin = at < 0 ? 0 : at + 5;
    const before = text.slice(0, begin), last = text.slice(begin), key = known.find((one) => last.startsWith(`${one} `));
    let offered = known.map((one) => before + one);
    if (key) {
      const rest = last.slice(key.length + 1);
      const kind = key.startsWith("metrics.") ? "metrics" : key.endsWith("start_time") ? "start_time" : "others";
      offered = /^(\S+)\s+('[^']+'|"[^"]+"|[-+\d.][\w.+-]*)\s*$/.test(rest) ? [`${text.trimEnd()} and `] : OPERATORS[kind].map((one) => `${before}${key} ${one}`);
    }
    list.replaceChildren(...offered.slice(0, 120).map((value) => { const one = document.createElement("option"); one.value = value; return one; }));
  };
  list.dataset.own = "";
  input.addEventListener("input", complete);
  complete();
}
