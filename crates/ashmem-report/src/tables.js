// SPDX-License-Identifier: MIT OR Apache-2.0
"use strict";
// Tables that are searched, sorted and turned over page by page. Their rows lie in the page as
// packed data (data.rs); of each table the first rows stand in the HTML too, for readers without
// scripts. Behind the page's address #sort=regions:4&search=regions:gralloc sorts and searches.
const PAGE = 100;
// Columns that hold words are searched; a table of so few rows needs no tools.
const FEW = 10;
const collator = new Intl.Collator(undefined, { numeric: true });

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const unpacking = new DecompressionStream("gzip");
  const writer = unpacking.writable.getWriter();
  writer.write(bytes);
  writer.close();
  return JSON.parse(await new Response(unpacking.readable).text());
}

function made(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

class DataTable {
  constructor(table, { rows, columns }) {
    this.table = table;
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.rows[0].cells];
    this.columns = columns.map((column, place) => {
      const isNumber = this.heads[place].classList.contains("n");
      const at = column.i ? (row) => column.i[row] : (row) => row;
      const values = column.v ?? (isNumber ? column.s.map(Number) : null);
      return { shown: column.s, values, at, isNumber };
    });
    this.rows = Array.from({ length: rows }, (_, row) => row);
    this.found = this.rows;
    this.first = 0;
    this.sorted = null;
    this.makeHeads();
    if (rows > FEW) this.makeTools();
    this.draw();
  }

  // Each heading becomes a button that sorts by its column.
  makeHeads() {
    this.labels = this.heads.map((head) => head.textContent.trim());
    this.heads.forEach((head, column) => {
      const button = made("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => this.turn(column));
    });
  }

  makeTools() {
    const label = this.table.getAttribute("aria-labelledby");
    this.search = made("input", { type: "search", placeholder: "Search" });
    this.search.setAttribute("aria-label", "Search in this table");
    this.search.addEventListener("input", () => this.find(this.search.value));
    // Where the screen is narrow the headings are not there to be clicked on.
    this.order = made("select", { className: "order" }, made("option", { value: "" }, "Sort by"));
    this.order.setAttribute("aria-label", "Sort this table");
    this.order.append(
      ...this.labels.map((name, place) => made("option", { value: String(place) }, name)),
    );
    this.order.addEventListener("change", () => {
      if (this.order.value !== "") this.turn(Number(this.order.value));
    });
    this.before = made("button", { type: "button" }, "‹");
    this.before.setAttribute("aria-label", "Page before");
    this.after = made("button", { type: "button" }, "›");
    this.after.setAttribute("aria-label", "Page after");
    this.where = made("span", { className: "where" });
    this.where.setAttribute("role", "status");
    this.before.addEventListener("click", () => this.go(this.first - PAGE));
    this.after.addEventListener("click", () => this.go(this.first + PAGE));
    const tools = made("div", { className: "tools" }, this.search, this.order, this.before,
      this.where, this.after);
    tools.setAttribute("role", "group");
    tools.setAttribute("aria-labelledby", label);
    this.table.parentElement.before(tools);
  }

  // Sorts by a column: words upwards first, numbers downwards, the same again the other way.
  turn(column) {
    const { isNumber } = this.columns[column];
    const upwards = this.sorted?.column === column ? !this.sorted.upwards : !isNumber;
    this.sort(column, upwards);
  }

  sort(column, upwards) {
    const { shown, values, at } = this.columns[column];
    // What is shown alike sorts alike: only the different ones are compared.
    const places = shown.map((_, place) => place);
    places.sort((one, other) => values
      ? values[one] - values[other]
      : collator.compare(shown[one], shown[other]));
    const ranks = new Float64Array(shown.length);
    places.forEach((place, rank) => {
      const before = places[rank - 1];
      const isSame = rank > 0 && values && values[place] === values[before];
      ranks[place] = isSame ? ranks[before] : rank;
    });
    const sign = upwards ? 1 : -1;
    // Equal ones stay in the order of the page.
    this.rows.sort((one, other) =>
      (ranks[at(one)] - ranks[at(other)]) * sign || one - other);
    this.sorted = { column, upwards };
    this.heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", upwards ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.find(this.search?.value ?? "");
  }

  // Keeps the rows in whose words the text stands, in whichever case; behind ^, those whose first
  // words, their name, begin with it: who holds a region may be called as another one.
  find(text) {
    const typed = text.trim().toLowerCase();
    const begins = typed.startsWith("^");
    const wanted = begins ? typed.slice(1) : typed;
    const ofWords = this.columns.filter((column) => !column.isNumber);
    const words = (begins ? ofWords.slice(0, 1) : ofWords).map(({ shown, at }) => {
      const has = shown.map((one) => {
        const word = one.toLowerCase();
        return begins ? word.startsWith(wanted) : word.includes(wanted);
      });
      return (row) => has[at(row)];
    });
    this.found = wanted ? this.rows.filter((row) => words.some((has) => has(row))) : this.rows;
    this.go(0);
  }

  go(first) {
    const last = Math.max(0, Math.ceil(this.found.length / PAGE) - 1) * PAGE;
    this.first = Math.min(Math.max(first, 0), last);
    this.draw();
  }

  draw() {
    const page = this.found.slice(this.first, this.first + PAGE);
    this.body.replaceChildren(...page.map((row) => made("tr", {}, ...this.columns.map(
      ({ shown, at, isNumber }, place) => {
        const cell = made("td", { className: isNumber ? "n" : "", textContent: shown[at(row)] });
        cell.dataset.label = this.labels[place];
        return cell;
      },
    ))));
    if (!this.search) return;
    const [from, many] = [this.first + 1, this.found.length];
    const all = many === this.rows.length ? "" : ` (${this.rows.length} in all)`;
    this.where.textContent = many === 0
      ? `none${all}`
      : `${from}–${from + page.length - 1} of ${many}${all}`;
    this.before.disabled = this.first === 0;
    this.after.disabled = this.first + PAGE >= many;
  }
}

// A group of names shows its regions: the table is searched for them.
function makeShowers(tables) {
  const regions = tables.get("regions");
  if (!regions?.search) return;
  for (const group of document.querySelectorAll("details[data-name]")) {
    const button = made("button", { type: "button", className: "show" }, "Show its regions");
    button.addEventListener("click", () => {
      regions.search.value = `^${group.dataset.name}`;
      regions.find(regions.search.value);
      regions.table.closest("section").scrollIntoView();
    });
    group.append(button);
  }
}

// As it was before a browser escaped it, or as it stands if it is not escaped so.
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function obey(tables) {
  for (const wish of location.hash.slice(1).split("&")) {
    const [, what, id, given] = /^(sort|search)=([a-z]+):(.*)$/.exec(wish) ?? [];
    const rest = decoded(given ?? "");
    const table = tables.get(id);
    if (what === "sort" && table?.columns[rest - 1]) table.turn(rest - 1);
    if (what === "search" && table?.search) {
      table.search.value = rest;
      table.find(rest);
    }
  }
}

unpacked(document.getElementById("rows").textContent).then((data) => {
  const tables = new Map();
  for (const one of data) {
    const table = document.getElementById(one.id);
    if (table) tables.set(one.id, new DataTable(table, one));
  }
  makeShowers(tables);
  obey(tables);
  document.documentElement.dataset.ready = "yes";
}).catch(() => {
  document.getElementById("stale").hidden = false;
  document.documentElement.dataset.ready = "no";
});
