// Filters the sample of pairs; without it, all of them are shown.
"use strict";
(() => {
  const filters = document.getElementById("filters");
  if (!filters) return;
  const rows = [...document.querySelectorAll("article[data-kinds]")];
  const told = document.getElementById("shown");
  const apply = () => {
    const kind = new FormData(filters).get("kind");
    let count = 0;
    for (const row of rows) {
      row.hidden = Boolean(kind) && !row.dataset.kinds.split(" ").includes(kind);
      count += row.hidden ? 0 : 1;
    }
    told.textContent = `${count} of ${rows.length} shown`;
  };
  filters.hidden = false;
  filters.addEventListener("change", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
})();
