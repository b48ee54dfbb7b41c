"use strict";

// A number's anchor lies within closed details: open what it stands in, and put the focus there.
function reveal() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  target.scrollIntoView();
  if (target.tabIndex === -1) target.focus({ preventScroll: true });
}
addEventListener("hashchange", reveal);
addEventListener("DOMContentLoaded", reveal);

// The filter hides what does not hold all of its words; a section stays while one of its lines does.
const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const line of document.querySelectorAll("[data-find]")) {
    const around = line.closest(".suite, .group");
    const text = `${line.textContent} ${around ? around.querySelector("h2, h3").textContent : ""}`.toLowerCase();
    line.hidden = !words.every((word) => text.includes(word));
    shown += !line.hidden;
  }
  for (const suite of document.querySelectorAll(".suite"))
    suite.hidden = words.length > 0 && !suite.querySelector("[data-find]:not([hidden])");
  document.getElementById("found").textContent = words.length ? `${shown} lines` : "";
});

// A heading sorts its table; a second time the other way round. Empty cells stay last.
function key(row, column) {
  const cell = row.cells[column];
  const text = (cell.dataset.sort ?? cell.textContent).trim().toLowerCase().replaceAll("−", "-");
  return text === "" || isNaN(text.replaceAll(",", "")) ? text : Number(text.replaceAll(",", ""));
}
for (const button of document.querySelectorAll(".sortable thead button"))
  button.addEventListener("click", () => {
    const heading = button.closest("th");
    const body = heading.closest("table").tBodies[0];
    const column = heading.cellIndex;
    const up = heading.getAttribute("aria-sort") !== "ascending";
    for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      if (x === "" || y === "") return (x === "") - (y === "");
      return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
    });
    body.append(...rows);
  });

// Raw records are kept once, packed, and written out when somebody asks.
let records = null;
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}
const dialog = document.getElementById("raw");
for (const button of document.querySelectorAll("button.raw"))
  button.addEventListener("click", async () => {
    records = records || (await unpacked(document.getElementById("records").textContent));
    dialog.querySelector("h2").textContent = `Record ${button.textContent}`;
    dialog.querySelector("pre").textContent = JSON.stringify(records[button.dataset.record], null, 1);
    dialog.showModal();
  });

document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
});

// What is wider than its place has a shadow at the right until its end is seen.
const shade = (box) => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 1);
const sizes = new ResizeObserver((entries) => entries.forEach((entry) => shade(entry.target)));
for (const box of document.querySelectorAll(".scroll")) {
  sizes.observe(box);
  box.addEventListener("scroll", () => shade(box), { passive: true });
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not(.runs)")) details.open = true;
});
