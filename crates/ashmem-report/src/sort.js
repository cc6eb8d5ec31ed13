// SPDX-License-Identifier: MIT OR Apache-2.0
"use strict";
// Each heading of a table becomes a button that sorts by its column; #sort=regions:4 in the address
// does the same.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const sort = (column, upwards) => {
    const value = (row) => {
      const cell = row.cells[column];
      return cell.dataset.v === undefined ? cell.textContent : Number(cell.dataset.v);
    };
    const order = (one, other) =>
      typeof one === "number" ? one - other : one.localeCompare(other);
    const sign = upwards ? 1 : -1;
    const rows = [...body.rows].sort((one, other) => order(value(one), value(other)) * sign);
    body.append(...rows);
    heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const isNumber = head.classList.contains("n");
      const before = head.getAttribute("aria-sort");
      sort(column, before === null ? !isNumber : before === "descending");
    });
  });
  const asked = /^#sort=([a-z]+):(\d+)$/.exec(location.hash);
  if (asked && asked[1] === table.id && heads[asked[2] - 1]) heads[asked[2] - 1].firstChild.click();
}
