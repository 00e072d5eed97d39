// SPDX-License-Identifier: Apache-2.0
// The table of brackets: sort, filter, search, and a link from each to its panel.
"use strict";

(() => {
  const PREVIEW = 1;
  const place = document.getElementById("table");
  const dialog = document.getElementById("panel");
  const data = window.bracketflow;

  // A picture that is gone leaves a quiet gap, not a torn sheet of paper.
  document.addEventListener("error", (event) => {
    if (event.target instanceof HTMLImageElement) event.target.classList.add("gone");
  }, true);
  for (const shown of document.images) {
    if (shown.complete && !shown.naturalWidth) shown.classList.add("gone");
  }

  if (!place) return;
  if (!data) {
    place.textContent = "The page's data is missing: its folder is not complete. Run `bracketflow report` again.";
    return;
  }

  const word = (list, index) => (index < 0 ? "" : data.words[list][index]);
  const rows = data.rows.map((values, index) => {
    const row = { index };
    data.fields.forEach((name, k) => { row[name] = values[k]; });
    for (const name of ["folder", "status", "code", "camera", "model"]) row[name] = word(name, row[name]);
    row.path = row.folder ? `${row.folder}/${row.name}` : row.name;
    row.text = [row.path, row.code, row.camera, row.note, row.id].join("\n").toLowerCase();
    return row;
  });
  const byId = new Map(rows.map((row) => [row.id, row]));

  const decimals = (digits, unit = "") => (cell) => {
    const value = cell.getValue();
    return value === null || value === undefined ? "" : Number(value).toFixed(digits) + unit;
  };
  const make = (tag, className, text) => {
    const node = document.createElement(tag);
    node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const shown = (name) => rows.some((row) => row[name] !== null && row[name] !== undefined && row[name] !== "");
  const blanksLast = (a, b, x, y, column, direction) => {
    const none = (value) => value === null || value === undefined;
    if (none(a) || none(b)) return none(a) === none(b) ? 0 : (none(a) ? 1 : -1) * (direction === "asc" ? 1 : -1);
    return a - b;
  };
  const words = new Intl.Collator("en", { numeric: true });
  // Comparing paths letter by letter is slow; their order is worked out once.
  rows.slice().sort((a, b) => words.compare(a.path, b.path)).forEach((row, rank) => { row.rank = rank; });
  const figure = (title, field, digits, extra) => ({
    title, field, sorter: blanksLast, hozAlign: "right", headerHozAlign: "right", formatter: decimals(digits), headerSortStartingDir: "desc", minWidth: 86, ...extra,
  });

  let panel = null;
  const columns = [
    {
      title: "", field: "pictures", headerSort: false, width: 76, responsive: 0, cssClass: "picture",
      formatter: (cell) => {
        const row = cell.getData();
        if (!(row.pictures & PREVIEW)) return make("span", "thumb");
        const box = make("span", "thumb");
        const shownImage = document.createElement("img");
        shownImage.loading = "lazy";
        shownImage.alt = "";
        shownImage.src = panel.picture(data.previews, row, ".jpg");
        box.append(shownImage);
        return box;
      },
    },
    {
      title: "bracket", field: "rank", sorter: "number", minWidth: 170, widthGrow: 4, responsive: 0,
      formatter: (cell) => {
        const row = cell.getData();
        const link = make("a", "name");
        link.href = `#b=${row.id}`;
        link.append(make("b", "", row.name), make("small", "", row.folder));
        return link;
      },
    },
    figure("MEF-SSIM", "score", 4, { responsive: 0, width: 118 }),
    ...(data.other === null ? [] : [figure("change", "delta", 4, {
      responsive: 1, width: 104,
      formatter: (cell) => {
        const value = cell.getValue();
        if (value === null) return "";
        return make("span", value >= 0 ? "delta up" : "delta down", `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(4)}`);
      },
    })]),
    {
      title: "status", field: "status", sorter: "string", width: 116, responsive: 1,
      formatter: (cell) => {
        const row = cell.getData();
        const box = make("span", `status ${row.status}`, row.status);
        if (row.code) box.title = row.code;
        return box;
      },
    },
    { title: "frames", field: "frames", sorter: "number", hozAlign: "right", headerHozAlign: "right", width: 98, responsive: 5 },
    ...(shown("range") ? [figure("stops", "range", 1, { responsive: 6, width: 90 })] : []),
    ...(shown("camera") ? [{ title: "camera", field: "camera", sorter: "string", minWidth: 110, widthGrow: 1.5, responsive: 4, formatter: (cell) => make("span", "", cell.getValue()) }] : []),
    ...(shown("model") ? [{ title: "model", field: "model", sorter: "string", minWidth: 90, responsive: 7, formatter: (cell) => make("span", "", cell.getValue()) }] : []),
    ...(shown("color") ? [figure("colour", "color", 4, { responsive: 8, width: 100 })] : []),
    ...(shown("psnr") ? [figure("PSNR dB", "psnr", 2, { responsive: 9, width: 112 })] : []),
    ...(shown("seconds") ? [figure("seconds", "seconds", 1, { responsive: 10, width: 108 })] : []),
  ];

  const table = new Tabulator(place, {
    data: rows,
    index: "id",
    columns,
    layout: "fitColumns",
    responsiveLayout: "hide",
    height: Math.min(116 + rows.length * 57, Math.max(420, Math.round(window.innerHeight * 0.8))),
    rowHeight: 57,
    placeholder: "No bracket fits the filters.",
    columnDefaults: { headerSortTristate: true, resizable: true },
    headerSortElement: (column, direction) => make("span", `arrow ${direction}`, { asc: "▲", desc: "▼" }[direction] || "↕"),
  });

  // The panel walks through the table as it is sorted and filtered.
  const steps = (row) => {
    const order = table.getRows("active");
    const at = order.findIndex((one) => one.getData().id === row.id);
    const data_ = (one) => (one ? one.getData() : null);
    return at < 0 ? { previous: null, next: null } : { previous: data_(order[at - 1]), next: data_(order[at + 1]) };
  };
  panel = bracketflowPanel(data, dialog, steps);

  const input = (name) => document.getElementById(`f-${name}`);
  const fill = (name, counts) => {
    const list = input(name);
    const known = [...counts].filter(([text]) => text !== "").sort(([a], [b]) => words.compare(a, b));
    for (const [text, count] of known) {
      const option = make("option", "", `${text} (${count.toLocaleString("en")})`);
      option.value = text;
      list.append(option);
    }
    list.closest("label").hidden = known.length < 2 && name !== "status";
  };
  const counted = (texts) => {
    const counts = new Map();
    for (const text of texts) counts.set(text, (counts.get(text) || 0) + 1);
    return counts;
  };
  for (const name of ["camera", "model", "status"]) fill(name, counted(rows.map((row) => row[name])));
  // Every folder that holds brackets, at any depth, but no more than a list can take.
  const folders = counted(rows.flatMap((row) => {
    const parts = row.folder.split("/");
    return row.folder ? parts.map((_, k) => parts.slice(0, k + 1).join("/")) : [];
  }));
  let depth = 20;
  const upTo = () => [...folders].filter(([text]) => text.split("/").length <= depth);
  while (depth > 1 && upTo().length > 500) depth -= 1;
  fill("folder", upTo().slice(0, 2000));

  const number = (name) => (input(name).value === "" ? null : Number(input(name).value));
  const refilter = () => {
    const sought = input("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    const folder = input("folder").value;
    const [camera, model, status] = ["camera", "model", "status"].map((name) => input(name).value);
    const [low, high] = [number("low"), number("high")];
    table.setFilter((row) =>
      (!folder || row.folder === folder || row.folder.startsWith(`${folder}/`))
      && (!camera || row.camera === camera) && (!model || row.model === model) && (!status || row.status === status)
      && (low === null || (row.score !== null && row.score >= low))
      && (high === null || (row.score !== null && row.score <= high))
      && sought.every((text) => row.text.includes(text)));
  };
  const form = document.querySelector(".filters");
  let timer = 0;
  form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(refilter, 120); });
  form.addEventListener("reset", () => setTimeout(refilter));
  form.addEventListener("submit", (event) => { event.preventDefault(); refilter(); });

  const count = document.getElementById("count");
  const tell = (left) => {
    count.textContent = left === rows.length ? `${left.toLocaleString("en")} brackets` : `${left.toLocaleString("en")} of ${rows.length.toLocaleString("en")} brackets`;
  };
  tell(rows.length);
  table.on("dataFiltered", (filters, left) => tell(left.length));

  place.addEventListener("keydown", (event) => {
    if (event.target.matches(".tabulator-col.tabulator-sortable") && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      event.target.click();
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const link = event.target.closest("a.name");
    if (!step || !link) return;
    event.preventDefault();
    const row = table.getRow(link.getAttribute("href").slice(3));
    const next = row && (step > 0 ? row.getNextRow() : row.getPrevRow());
    if (!next) return;
    table.scrollToRow(next, "nearest", false).then(() => {
      const other = next.getElement().querySelector("a.name");
      if (other) other.focus();
    });
  });
  table.on("rowClick", (event, row) => {
    if (!event.target.closest("a")) location.hash = `b=${row.getData().id}`;
  });

  const follow = () => {
    const row = byId.get(location.hash.startsWith("#b=") ? location.hash.slice(3) : "");
    if (row) panel.open(row);
  };
  window.addEventListener("hashchange", follow);
  table.on("tableBuilt", () => {
    for (const head of place.querySelectorAll(".tabulator-col.tabulator-sortable")) head.tabIndex = 0;
    for (const holder of place.querySelectorAll(".tabulator-tableholder")) holder.setAttribute("aria-label", "Brackets");
    window.bracketflowTable = table;
    follow();
  });
})();
