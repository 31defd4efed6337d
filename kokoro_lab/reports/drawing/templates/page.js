"use strict";
// Without this script every table, chart and player of the page works; it adds sorting, filters and downloads.

const reveal = () => {
  const target = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
  target.scrollIntoView();
};

const written = cell => (cell.dataset.sort ?? cell.textContent).replace(/\s+/g, " ").trim();

const order = (first, second) => {
  const numbers = [Number(first), Number(second)];
  if (first !== "" && second !== "" && !numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return first.localeCompare(second, "en", { numeric: true });
};

const sort = (table, column, header) => {
  const falling = header.getAttribute("aria-sort") === "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", falling ? "descending" : "ascending");
  for (const body of table.tBodies) {
    const groups = [...body.rows].filter(row => row.classList.contains("kl-topic"));
    const rows = [...body.rows].filter(row => !row.classList.contains("kl-topic"));
    rows.sort((a, b) => order(written(a.cells[column]), written(b.cells[column])) * (falling ? -1 : 1));
    body.append(...groups, ...rows);
  }
};

const filter = (table, words, count) => {
  const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  let all = 0;
  for (const body of table.tBodies) {
    let any = false;
    for (const row of body.rows) {
      if (row.classList.contains("kl-topic")) continue;
      const text = row.textContent.toLowerCase();
      row.hidden = !wanted.every(word => text.includes(word));
      all += 1;
      if (!row.hidden) { shown += 1; any = true; }
    }
    for (const row of body.querySelectorAll(".kl-topic")) row.hidden = !any;
  }
  count.textContent = `${shown} of ${all} rows`;
};

const field = text => {
  const number = text !== "" && !Number.isNaN(Number(text));
  const safe = !number && /^[=+@\-\t]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const csv = table => {
  const rows = [table.tHead.rows[0], ...[...table.tBodies].flatMap(body => [...body.rows])];
  const kept = rows.filter(row => !row.hidden && !row.classList.contains("kl-topic"));
  return kept.map(row => [...row.cells].map(cell => field(written(cell))).join(",")).join("\n") + "\n";
};

const download = (name, text) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const made = (tag, properties) => Object.assign(document.createElement(tag), properties);

const equip = table => {
  const name = table.caption.textContent.trim();
  const bar = made("div", { className: "kl-tools" });
  const label = made("label", { textContent: "Filter " });
  const words = made("input", { type: "search" });
  const count = made("output", {});
  const save = made("button", { type: "button", textContent: "Download CSV" });
  save.setAttribute("aria-label", `Download as CSV: ${name}`);
  words.setAttribute("aria-label", `Filter: ${name}`);
  label.append(words);
  bar.append(label, save, count);
  (table.closest(".kl-scroll") ?? table).before(bar);
  words.addEventListener("input", () => filter(table, words.value, count));
  save.addEventListener("click", () => {
    download(`${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 40)}.csv`, csv(table));
  });
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = made("button", { type: "button", className: "kl-sort", textContent: header.textContent });
    header.replaceChildren(button);
    button.addEventListener("click", () => sort(table, column, header));
  });
};

const copying = button => {
  button.hidden = false;
  button.addEventListener("click", () => {
    const command = button.previousElementSibling;
    const copied = () => { button.textContent = "Copied"; };
    if (navigator.clipboard) { navigator.clipboard.writeText(command.textContent).then(copied, () => {}); return; }
    getSelection().selectAllChildren(command);
    if (document.execCommand("copy")) copied();
  });
};

document.querySelectorAll("table.kl-data").forEach(equip);
document.querySelectorAll(".kl-copy").forEach(copying);
addEventListener("hashchange", reveal);
reveal();
