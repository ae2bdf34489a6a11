// Pictures with the outlines of their cells, to look at and to correct; used by the page of a read-out and by the app.
//
// bloodViewer(root, data, saved): builds itself in `root`, an element. `data` is what viewer.py makes. `saved(corrections,
// unsaved)` takes the corrections when somebody saves them, all of them and those that were not saved before:
// [{picture, cell, box, before: {label, type}, after: {label, type} | null}] with boxes in px of the picture; `after` is
// null for what is no cell.
function bloodViewer(root, data, saved) {
  "use strict";
  const NS = "http://www.w3.org/2000/svg";
  const KINDS = { rbc: "red cells", wbc: "white cells", platelet: "platelets" };
  const KEYS = "1234567890qwertyuiopasdfghjkl";
  const PER_PAGE = 120, THUMB = 72;
  const words = (name) => name === "other" ? "unsure" : String(name).replaceAll("_", " ");
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const corrections = new Map();
  let savedOnes = new Map();  // as they were when they were saved
  const isUnsaved = (key) => corrections.get(key) !== savedOnes.get(key);
  let picture = data.pictures[0], selected = null, page = 0, ruler = null, measuring = false;
  const keyOf = (cell, of = picture) => `${of.name}\n${cell.id}`;
  const now = (cell, of = picture) => {
    const change = corrections.get(keyOf(cell, of));
    return change === undefined ? { label: cell.label, type: cell.type } : change;
  };

  // --- what is there
  root.replaceChildren();
  root.classList.add("viewer");
  if (!data.pictures.length) return;
  root.tabIndex = 0;
  const bar = root.appendChild(make("div", { class: "controls" }));
  const chooser = make("select", { "aria-label": "picture" });
  for (const each of data.pictures) chooser.append(make("option", { value: each.name }, each.name));
  if (data.pictures.length > 1) bar.append(chooser);
  const toggles = {};
  for (const kind of Object.keys(KINDS)) {
    const label = bar.appendChild(make("label", { class: kind }));
    toggles[kind] = label.appendChild(make("input", { type: "checkbox", checked: "" }));
    label.append(make("span"));
  }
  const whole = bar.appendChild(make("button", { type: "button" }, "whole picture"));
  const measure = bar.appendChild(make("button", { type: "button", "aria-pressed": "false" }, "ruler"));
  const said = bar.appendChild(make("span", { class: "said", "aria-live": "polite" }));
  const choices = root.appendChild(make("div", { class: "choices" }));
  const body = root.appendChild(make("div", { class: "body" }));
  const stage = body.appendChild(document.createElementNS(NS, "svg"));
  stage.setAttribute("class", "stage");
  stage.setAttribute("role", "img");
  const side = body.appendChild(make("div", { class: "side" }));
  const tools = side.appendChild(make("div", { class: "tools" }));
  const show = tools.appendChild(make("select", { "aria-label": "which cells" }));
  const order = tools.appendChild(make("select", { "aria-label": "order" }));
  for (const [value, text] of [["unsure", "unsure first"], ["type", "by type"], ["number", "by number"]]) {
    order.append(make("option", { value }, text));
  }
  const gallery = side.appendChild(make("div", { class: "gallery", role: "listbox", "aria-label": "cells" }));
  const pager = side.appendChild(make("div", { class: "pager" }));
  const tally = root.appendChild(make("div", { class: "tally" }));
  const saver = root.appendChild(make("div", { class: "saver" }));
  const save = saver.appendChild(make("button", { type: "button", class: "save" }, data.save));
  saver.hidden = !data.save;
  const undo = saver.appendChild(make("button", { type: "button" }, "undo what is not saved"));
  const changes = saver.appendChild(make("span", { "aria-live": "polite" }));

  const options = [];
  for (const [kind, types] of Object.entries(data.types)) for (const type of types) options.push({ label: kind, type });
  options.push(null);

  // --- the picture: wheel zooms, dragging moves, the ruler measures
  let view = [0, 0, 1, 1];
  const setView = (x, y, width, height) => {
    view = [x, y, width, height];
    stage.setAttribute("viewBox", view.join(" "));
    // Lines of a slide that is seen whole would cover its cells.
    const sides = picture.cells.map((cell) => cell.box[2] - cell.box[0]).sort((a, b) => a - b);
    const onScreen = (sides[sides.length >> 1] ?? 40) * stage.clientWidth / width;
    stage.style.setProperty("--line", Math.min(1.6, Math.max(0.2, onScreen / 14)));
  };
  const at = (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
    return [point.x, point.y];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = at(event), factor = event.deltaY < 0 ? 0.8 : 1.25;
    const width = Math.min(picture.width, Math.max(40, view[2] * factor)), by = width / view[2];
    setView(x - (x - view[0]) * by, y - (y - view[1]) * by, width, view[3] * by);
  }, { passive: false });
  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    drag = { from: at(event), view: [...view], moved: false };
    if (measuring) {
      ruler = [...drag.from, ...drag.from];
      drawRuler();
    }
  });
  stage.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const [x, y] = at(event);
    if (measuring) {
      ruler = [ruler[0], ruler[1], x, y];
      drawRuler();
      return;
    }
    if (Math.hypot(x - drag.from[0], y - drag.from[1]) > 4) drag.moved = true;
    if (drag.moved) setView(view[0] + drag.from[0] - x, view[1] + drag.from[1] - y, view[2], view[3]);
  });
  window.addEventListener("pointerup", () => setTimeout(() => { drag = null; }));
  const drawRuler = () => {
    stage.querySelector(".ruler")?.remove();
    if (!ruler) return;
    const line = stage.appendChild(document.createElementNS(NS, "line"));
    line.setAttribute("class", "ruler");
    ["x1", "y1", "x2", "y2"].forEach((name, k) => line.setAttribute(name, ruler[k]));
    const px = Math.hypot(ruler[2] - ruler[0], ruler[3] - ruler[1]) / picture.scale;
    const um = picture.um_per_px ? `, ${(px * picture.um_per_px).toFixed(1)} µm` : "";
    const taken = picture.cell_px ? `; a red cell was taken to be ${picture.cell_px.toFixed(0)} px wide` : "";
    said.textContent = `${px.toFixed(0)} px${um}${taken}`;
  };

  const drawPicture = () => {
    stage.replaceChildren();
    stage.setAttribute("aria-label", `${picture.name} with the outlines of its cells`);
    body.dataset.name = picture.name;  // on paper, where nothing is chosen
    const image = stage.appendChild(document.createElementNS(NS, "image"));
    image.setAttribute("href", picture.src);
    image.setAttribute("width", picture.width);
    image.setAttribute("height", picture.height);
    for (const cell of picture.cells) {
      cell.path = stage.appendChild(document.createElementNS(NS, "path"));
      cell.path.setAttribute("d", cell.d);
      cell.path.appendChild(document.createElementNS(NS, "title"));
      cell.path.addEventListener("click", () => { if (!drag?.moved && !measuring) select(cell, false); });
      dress(cell);
    }
    setView(0, 0, picture.width, picture.height);
    ruler = null;
  };
  const dress = (cell) => {
    const is = now(cell), changed = corrections.has(keyOf(cell));
    cell.path.setAttribute("class", `${is ? is.label : "none"}${changed ? " changed" : ""}${cell === selected ? " selected" : ""}`);
    cell.path.style.display = is && !toggles[is.label].checked ? "none" : "";
    cell.path.querySelector("title").textContent = titleOf(cell);
  };
  const titleOf = (cell) => {
    const is = now(cell), sure = cell.sureness === null ? "" : `, sureness ${cell.sureness.toFixed(2)}`;
    return `cell ${cell.id}: ${is ? words(is.type) : "no cell"}${corrections.has(keyOf(cell)) ? " (corrected)" : sure}`;
  };

  // --- the gallery
  const listed = () => {
    const [kind, type] = show.value.split("/");
    const cells = picture.cells.filter((cell) => {
      const is = now(cell) ?? { label: "none", type: "none" };
      return !kind || (is.label === kind && (!type || is.type === type));
    });
    // Cells that the border cuts have no shape that anybody could tell: they come after whole ones.
    const last = (cell) => (corrections.has(keyOf(cell)) ? 2 : 0) + (cell.cut ? 1 : 0);
    const unsureFirst = (a, b) => last(a) - last(b) || a.rank - b.rank;
    if (order.value === "unsure") cells.sort(unsureFirst);
    if (order.value === "type") {
      const name = (cell) => { const is = now(cell); return is ? `${is.label}/${is.type}` : "~"; };
      cells.sort((a, b) => name(a).localeCompare(name(b)) || unsureFirst(a, b));
    }
    return cells;
  };
  const drawGallery = () => {
    const cells = listed(), pages = Math.max(1, Math.ceil(cells.length / PER_PAGE));
    page = Math.min(page, pages - 1);
    gallery.replaceChildren();
    for (const cell of cells.slice(page * PER_PAGE, (page + 1) * PER_PAGE)) {
      const [x0, y0, x1, y1] = cell.box, size = 1.3 * Math.max(x1 - x0, y1 - y0, 4), zoom = THUMB / size;
      const is = now(cell);
      const thumb = gallery.appendChild(make("button", { type: "button", role: "option", title: titleOf(cell) }));
      thumb.className = `thumb ${is ? is.label : "none"}${corrections.has(keyOf(cell)) ? " changed" : ""}`;
      thumb.setAttribute("aria-selected", String(cell === selected));
      if (picture.sheet && cell.spot !== null) {  // at its full size
        const { src, columns, rows } = picture.sheet;
        thumb.style.backgroundImage = `url("${src}")`;
        thumb.style.backgroundSize = `${columns * THUMB}px ${rows * THUMB}px`;
        thumb.style.backgroundPosition = `${-(cell.spot % columns) * THUMB}px ${-Math.floor(cell.spot / columns) * THUMB}px`;
      } else {
        thumb.style.backgroundImage = `url("${picture.src}")`;
        thumb.style.backgroundSize = `${picture.width * zoom}px ${picture.height * zoom}px`;
        const left = (x0 + x1 - size) / 2, top = (y0 + y1 - size) / 2;
        thumb.style.backgroundPosition = `${-left * zoom}px ${-top * zoom}px`;
      }
      thumb.append(make("small", {}, is ? words(is.type === is.label ? KINDS[is.label].slice(0, -1) : is.type) : "no cell"));
      thumb.addEventListener("click", () => select(cell, true));
      cell.thumb = thumb;
    }
    pager.replaceChildren();
    if (pages > 1) {
      for (const [text, step] of [["‹", -1], ["›", 1]]) {
        const button = make("button", { type: "button", "aria-label": step < 0 ? "earlier cells" : "more cells" }, text);
        button.disabled = page + step < 0 || page + step >= pages;
        button.addEventListener("click", () => { page += step; drawGallery(); });
        pager.append(button);
      }
      pager.append(make("span", {}, `${page + 1} of ${pages}`));
    }
  };
  const drawFilters = () => {
    const chosen = show.value;
    show.replaceChildren(make("option", { value: "" }, `all ${picture.cells.length} cells`));
    for (const kind of Object.keys(KINDS)) {
      const mine = picture.cells.map((cell) => now(cell)).filter((is) => is?.label === kind);
      if (!mine.length) continue;
      show.append(make("option", { value: kind }, `${KINDS[kind]} (${mine.length})`));
      const types = new Map();
      for (const is of mine) if (is.type !== kind) types.set(is.type, (types.get(is.type) ?? 0) + 1);
      for (const [type, number] of [...types].sort()) {
        show.append(make("option", { value: `${kind}/${type}` }, `– ${words(type)} (${number})`));
      }
    }
    show.value = chosen;
    if (show.selectedIndex < 0) show.value = "";
  };

  // --- counts, of all pictures
  const drawTally = () => {
    const numbers = { rbc: 0, wbc: 0, platelet: 0 }, white = new Map(), red = new Map();
    for (const each of data.pictures) for (const cell of each.cells) {
      const is = now(cell, each);
      if (!is) continue;
      numbers[is.label] += 1;
      const into = { wbc: white, rbc: red }[is.label];
      if (into) into.set(is.type, (into.get(is.type) ?? 0) + 1);
    }
    for (const [kind, input] of Object.entries(toggles)) {
      input.nextSibling.textContent = ` ${numbers[kind].toLocaleString("en")} ${numbers[kind] === 1 ? KINDS[kind].slice(0, -1) : KINDS[kind]}`;
    }
    tally.replaceChildren();
    for (const [name, types, total] of [["White cells", white, numbers.wbc], ["Red cells", red, numbers.rbc]]) {
      const text = [...types].sort((a, b) => b[1] - a[1])
        .map(([type, number]) => `${words(type)} ${number} (${(100 * number / total).toFixed(1)}%)`).join(", ");
      if (text) tally.append(make("p", {}, `${name}: ${text}`));
    }
    const number = corrections.size, unsaved = [...corrections.keys()].filter(isUnsaved).length;
    const state = !unsaved ? "saved" : unsaved === number ? "not saved yet" : `${unsaved} of them not saved yet`;
    changes.textContent = number ? ` ${number} correction${number === 1 ? "" : "s"}, ${state}` : " nothing corrected";
    save.disabled = !number;
    undo.disabled = !unsaved;
  };

  // --- choosing a type for a cell
  const drawChoices = () => {
    choices.replaceChildren();
    choices.hidden = !data.save;
    if (choices.hidden) return;
    if (!selected) {
      choices.append(make("span", { class: "said" }, "Click a cell to name it anew; then arrow keys go on, and keys name it."));
      return;
    }
    choices.append(make("b", {}, titleOf(selected)));
    options.forEach((option, k) => {
      const text = option ? words(option.type === option.label ? KINDS[option.label].slice(0, -1) : option.type) : "no cell";
      const button = choices.appendChild(make("button", { type: "button", class: option ? option.label : "none" }));
      button.append(make("kbd", {}, option ? KEYS[k] ?? "" : "Del"), ` ${text}`);
      button.addEventListener("click", () => correct(option));
    });
  };
  const select = (cell, centre) => {
    const before = selected;
    selected = cell;
    if (before?.path) dress(before);
    dress(cell);
    for (const each of gallery.children) each.setAttribute("aria-selected", "false");
    cell.thumb?.setAttribute("aria-selected", "true");
    if (centre) {
      const [x0, y0, x1, y1] = cell.box, width = Math.min(picture.width, Math.max(8 * (x1 - x0), 200));
      const height = width * picture.height / picture.width;
      setView((x0 + x1 - width) / 2, (y0 + y1 - height) / 2, width, height);
    }
    drawChoices();
    root.focus({ preventScroll: true });  // what had the focus may be gone: the gallery is drawn anew
  };
  const correct = (option) => {
    if (!selected || !data.save) return;
    const same = option && option.label === selected.label && option.type === selected.type;
    // Naming it as it is named confirms it, which is worth as much as a correction.
    corrections.set(keyOf(selected), same ? { ...option, confirmed: true } : option);
    const queue = listed(), place = queue.indexOf(selected);
    dress(selected);
    redraw();
    const next = order.value === "unsure" ? listed().find((cell) => !corrections.has(keyOf(cell))) : queue[place + 1];
    if (next) select(next, true); else drawChoices();
  };
  const redraw = () => {
    drawFilters();
    drawGallery();
    drawTally();
    for (const cell of picture.cells) if (cell.path) dress(cell);
  };
  const listOf = (isAsked) => {
    const rows = [];
    for (const each of data.pictures) for (const cell of each.cells) {
      const after = corrections.get(keyOf(cell, each));
      if (after === undefined || !isAsked(keyOf(cell, each))) continue;
      rows.push({
        picture: each.name, cell: cell.id, box: cell.box_px, before: { label: cell.label, type: cell.type },
        after: after && { label: after.label, type: after.type },
      });
    }
    return rows;
  };

  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    if (!selected) { if (event.key === "Enter" && event.target === root && picture.cells.length) select(listed()[0], true); return; }
    const queue = listed(), place = queue.indexOf(selected);
    if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      const next = queue[place + (event.key === "ArrowRight" ? 1 : -1)];
      if (next) select(next, true);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      correct(null);
    } else if (KEYS.indexOf(event.key) >= 0 && options[KEYS.indexOf(event.key)]) {
      correct(options[KEYS.indexOf(event.key)]);
    } else {
      return;
    }
    event.preventDefault();
  });
  for (const input of Object.values(toggles)) input.addEventListener("change", () => picture.cells.forEach(dress));
  whole.addEventListener("click", () => setView(0, 0, picture.width, picture.height));
  measure.addEventListener("click", () => {
    measuring = !measuring;
    measure.setAttribute("aria-pressed", String(measuring));
    if (!measuring) { ruler = null; drawRuler(); said.textContent = ""; } else { said.textContent = "drag across a cell"; }
  });
  show.addEventListener("change", () => { page = 0; drawGallery(); });
  order.addEventListener("change", () => { page = 0; drawGallery(); });
  chooser.addEventListener("change", () => {
    picture = data.pictures.find((each) => each.name === chooser.value);
    selected = null;
    page = 0;
    drawPicture();
    redraw();
    drawChoices();
  });
  save.addEventListener("click", () => saved(listOf(() => true), listOf(isUnsaved)));
  undo.addEventListener("click", () => {
    for (const key of [...corrections.keys()].filter(isUnsaved)) {
      if (savedOnes.has(key)) corrections.set(key, savedOnes.get(key)); else corrections.delete(key);
    }
    redraw();
    drawChoices();
  });
  root.wasSaved = (text) => {
    savedOnes = new Map(corrections);
    drawTally();
    changes.textContent = ` ${text}`;
  };
  drawPicture();
  redraw();
  drawChoices();
}
