document.documentElement.classList.add("scripted");

function key(row, column) {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
}

function sort(head) {
  const body = head.closest("table").tBodies[0];
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const rows = [...body.rows].map((row) => [key(row, head.cellIndex), row]);
  const missing = (value) => value === "–" || value === "";
  rows.sort(([a], [b]) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
    return up ? order : -order;
  });
  body.append(...rows.map(([, row]) => row));
}

function pressed(element, act) {
  element.tabIndex = 0;
  element.addEventListener("click", act);
  element.addEventListener("keydown", (event) => { if (event.key === "Enter") act(); });
}

for (const head of document.querySelectorAll("th")) pressed(head, () => sort(head));
for (const image of document.querySelectorAll("figure img"))
  pressed(image, () => image.parentNode.classList.toggle("large"));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const figure of document.querySelectorAll(".large")) figure.classList.remove("large");
});
