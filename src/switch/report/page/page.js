"use strict";
// Tables that sort, filter and copy. Without this script the page shows the same numbers.
(() => {
  const words = JSON.parse(document.getElementById("words").textContent);
  const value = (cell) => {
    const text = cell.dataset.v;
    return /^-?\d+$/.test(text) ? BigInt(text) : text;
  };
  const compare = (a, b) => {
    if (typeof a === typeof b) return a < b ? -1 : a > b ? 1 : 0;
    return typeof a === "bigint" ? 1 : -1;
  };
  const sort = (table, place, head) => {
    const down = head.getAttribute("aria-sort") === "descending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row.cells[place]), row]);
    rows.sort((a, b) => (down ? compare(a[0], b[0]) : compare(b[0], a[0])));
    for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "ascending" : "descending");
    body.append(...rows.map((row) => row[1]));
  };
  // No text runs as a formula where it is pasted; numbers keep their sign.
  const plain = (text) => (/^[=+\-@\t\r]/.test(text) && !/^-?\d+$/.test(text) ? "'" + text : text);
  const copy = (table) => {
    const rows = [...table.rows].filter((row) => !row.hidden);
    const text = rows.map((row) => [...row.cells].map((cell) =>
      cell.tagName === "TH" ? cell.textContent.trim() : plain(cell.dataset.v)).join("\t")).join("\n");
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  const dress = (table) => {
    [...table.tHead.rows[0].cells].forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      button.addEventListener("click", () => sort(table, place, head));
      head.replaceChildren(button);
    });
    const tools = document.createElement("div");
    tools.className = "tools";
    const filter = document.createElement("input");
    filter.type = "search";
    filter.placeholder = filter.ariaLabel = words.filter;
    filter.addEventListener("input", () => {
      const wanted = filter.value.trim().toLowerCase();
      for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words.copy;
    button.addEventListener("click", () => {
      copy(table);
      button.textContent = words.copied;
    });
    tools.append(filter, button);
    table.parentNode.before(tools);
  };
  const all = () => document.querySelectorAll("#content table").forEach(dress);
  window.dressTables = all;
  all();
})();
