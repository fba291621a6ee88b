"use strict";
// Filter the rows that Python computed, and show them as charts and as a table.
const data = JSON.parse(document.getElementById("data").textContent);
const tables = Object.fromEntries(Object.entries(data.tables).map(([name, columns]) => [name, unpack(columns)]));
const form = document.getElementById("filters");
const search = document.getElementById("find");
const FILTERS = [...new Set([...form.querySelectorAll("input[type=checkbox]")].map((box) => box.name))];
const SELECTS = ["baseline", "detail", "theme", ...(form.elements.written ? ["written"] : [])];
const EMBED = { ast: true, renderer: "svg", actions: false, defaultStyle: false, logLevel: 1, tooltip: { disableDefaultStyle: true } };
const system = window.matchMedia("(prefers-color-scheme: dark)");
const ROWS_SHOWN = 200;
const NARROW = 46 * 16; // pixels of a phone, as in report.css
const views = {};
let sort = { name: "", descending: false }, showAll = false, allLines = false;

function unpack(columns) {
  const names = Object.keys(columns), values = names.map((name) => {
    const column = columns[name];
    return Array.isArray(column) ? column : column.codes.map((code) => (code < 0 ? null : column.levels[code]));
  });
  return (values[0] || []).map((_, i) => Object.fromEntries(names.map((name, j) => [name, values[j][i]])));
}

// --- the state: the form holds it, the URL's hash holds what differs from the initial state
function boxes(name) { return [...form.querySelectorAll(`input[name="${name}"]`)]; }

function checked(name) { return new Set(boxes(name).filter((box) => box.checked).map((box) => box.value)); }

function initialValue(select) { return ([...select.options].find((option) => option.defaultSelected) || select.options[0])?.value; }

function writeHash() {
  const params = new URLSearchParams();
  for (const name of FILTERS) {
    if (boxes(name).some((box) => box.checked !== box.defaultChecked)) params.set(name, [...checked(name)].map(encodeURIComponent).join(","));
  }
  for (const name of SELECTS) {
    const select = form.elements[name];
    if (select.value !== (initialValue(select) ?? "")) params.set(name, select.value);
  }
  if (search.value) params.set("find", search.value);
  if (allLines) params.set("lines", "all");
  if (sort.name) params.set("sort", (sort.descending ? "-" : "") + sort.name);
  const hash = params.toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function readHash() {
  const params = new URLSearchParams(location.hash.slice(1));
  if (params.size) form.querySelector("details").open = true;
  for (const name of FILTERS) {
    const values = params.has(name) ? new Set(params.get(name).split(",").map(decodeURIComponent)) : null;
    for (const box of boxes(name)) box.checked = values ? values.has(box.value) : box.defaultChecked;
  }
  for (const name of SELECTS) {
    const select = form.elements[name], value = params.get(name);
    select.value = [...select.options].some((option) => option.value === value) ? value : initialValue(select);
  }
  search.value = params.get("find") || "";
  allLines = params.get("lines") === "all";
  const name = params.get("sort") || "";
  sort = { name: name.replace(/^-/, ""), descending: name.startsWith("-") };
}

function filtered(rows) {
  const filters = FILTERS.map((name) => [name, checked(name)]);
  return rows.filter((row) => filters.every(([name, values]) => row[name] == null || values.has(row[name])));
}

// --- charts
function themeName() {
  const theme = form.elements.theme.value;
  return theme === "auto" ? (system.matches ? "dark" : "light") : theme;
}

function chartRows(name) {
  const chart = data.charts[name], baseline = form.elements.baseline.value, detail = form.elements.detail.value;
  const impls = checked("impl"), frameworks = checked("framework");
  if (chart.detail) return tables[chart.table].filter((row) => row.detail === detail && impls.has(row.impl) && frameworks.has(row.framework));
  const rows = filtered(tables[chart.table]);
  return chart.table === "speedups" ? rows.filter((row) => row.baseline === baseline) : rows;
}

// Charts of hundreds of panels would take all memory: keep the first values of each column, and say how many are left out.
function capped(rows) {
  const omitted = [];
  for (const [column, most] of Object.entries(data.most_drawn)) {
    const values = new Set(rows.map((row) => row[column]));
    if (values.size <= most) continue;
    const drawn = new Set([...values].slice(0, most));
    rows = rows.filter((row) => drawn.has(row[column]));
    omitted.push(`${values.size - most} of ${values.size} values of ${column}`);
  }
  return [rows, omitted.length ? `Left out: ${omitted.join(", ")}. Select fewer with the filters.` : ""];
}

function resized(spec, width, impls) {
  const copy = structuredClone(spec);
  const beside = 95 + 8 * Math.max(0, ...impls.map((impl) => impl.length)); // axis, and names
  if (copy.spec && typeof copy.spec.width === "number" && copy.columns === 1) copy.spec.width = Math.max(180, Math.min(1000, width - beside));
  if (typeof copy.spec?.width?.step === "number" && width < NARROW) narrowMap(copy.spec, width);
  const texts = copy.spec?.layer?.[1].encoding.text;
  if (texts?.field === "times" && width < NARROW) texts.field = "total"; // tooltips have the times of the phases
  if (copy.columns > 1) copy.columns = Math.max(1, Math.min(copy.columns, Math.floor(width / 190)));
  return copy;
}

// On a phone, the map has narrow cells with the names alone: a tooltip and the table of all cases have the numbers.
function narrowMap(spec, width) {
  const columns = Math.max(1, new Set(tables.winners.map((row) => row.n)).size), step = Math.max(44, Math.floor((width - 70) / columns));
  spec.width = { step };
  spec.height = { step: 44 };
  const [cells, , names] = spec.layer;
  spec.layer = [cells, names];
  for (const { encoding } of spec.layer) encoding.x.axis = { ...encoding.x.axis, format: "~s" }; // 100k
  names.mark = { ...names.mark, dy: 0, fontSize: step < 56 ? 10 : 12, limit: step - 2 };
}

// A chart begins with few lines, unless implementations are selected by the filter.
function linesOf(name, rows, figure) {
  const first = new Set([...data.charts[name].first_lines, form.elements.baseline.value]), all = new Set(rows.map((row) => row.impl));
  const few = [...all].filter((impl) => first.has(impl)), untouched = boxes("impl").every((box) => box.checked === box.defaultChecked);
  const lines = figure.querySelector(".lines"), [text, button] = lines.children;
  lines.hidden = !data.charts[name].first_lines.length || !untouched || !few.length || few.length === all.size;
  text.textContent = allLines ? "" : `Drawn: ${few.length} of ${all.size} implementations, the baseline and the fastest of each framework.`;
  button.textContent = allLines ? "Draw few" : `Draw all ${all.size}`;
  return lines.hidden || allLines ? rows : rows.filter((row) => first.has(row.impl));
}

async function drawChart(name) {
  const chart = data.charts[name], figure = document.getElementById(`chart-${name}`), plot = figure.querySelector(".plot");
  const all = chartRows(name).filter((row) => chart.conditions.every(([column, value]) => row[column] === (form.elements[column]?.value ?? value)));
  const [rows, omitted] = capped(linesOf(name, all, figure));
  figure.querySelector(".omitted").textContent = omitted;
  figure.querySelector(".omitted").hidden = omitted === "";
  figure.querySelector(".empty").hidden = rows.length > 0;
  figure.hidden = ["map", "sweep"].includes(name) && rows.length === 0;
  plot.hidden = rows.length === 0;
  if (!rows.length) return;
  const key = `${themeName()} ${plot.clientWidth}`;
  if (views[name]?.key === key) {
    await views[name].view.data(chart.table, rows).runAsync();
    makeReachable(plot);
    return;
  }
  views[name]?.view.finalize();
  const config = structuredClone(data.themes[themeName()]);
  config.legend.columns = Math.max(1, Math.min(4, Math.floor(plot.clientWidth / 170)));
  if (name === "map") config.header = { ...config.header, labelLimit: plot.clientWidth - 70 };
  const spec = { ...resized(chart.spec, plot.clientWidth, rows.map((row) => row.impl || "")), datasets: { [chart.table]: rows }, description: plot.getAttribute("aria-label") };
  views[name] = { key, view: (await vegaEmbed(plot, spec, { ...EMBED, config })).view };
  makeReachable(plot);
}

// --- points by keyboard: Tab reaches one point of a chart, and arrow keys the others
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };

function pointsOf(plot) { return [...plot.querySelectorAll("svg [aria-roledescription='point']")]; }

function makeReachable(plot, one = pointsOf(plot).find((point) => point.getAttribute("tabindex") === "0")) {
  const points = pointsOf(plot), reachable = one || points[0];
  for (const point of points) point.setAttribute("tabindex", point === reachable ? 0 : -1);
}

// Do at a point what the mouse would do there.
function dispatch(type, point) {
  const { left, top, width, height } = point.getBoundingClientRect();
  point.dispatchEvent(new PointerEvent(type, { bubbles: true, clientX: left + width / 2, clientY: top + height / 2 }));
}

function onPointKey(event, plot) {
  const points = pointsOf(plot), at = points.indexOf(event.target);
  if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key in STEPS) {
    const next = points[Math.max(0, Math.min(points.length - 1, at + STEPS[event.key]))];
    makeReachable(plot, next);
    next.focus();
  } else if (event.key === "Enter" || event.key === " ") dispatch("click", event.target);
  else if (event.key === "Escape") dispatch("mouseout", event.target);
  else return;
  event.preventDefault();
}

for (const plot of document.querySelectorAll(".chart .plot")) {
  plot.addEventListener("keydown", (event) => onPointKey(event, plot));
  plot.addEventListener("focusin", ({ target }) => {
    if (!pointsOf(plot).includes(target)) return;
    target.scrollIntoView({ block: "nearest", inline: "nearest", behavior: "instant" }); // a tooltip stays where it was opened
    dispatch("pointermove", target);
  });
  plot.addEventListener("focusout", ({ target }) => { if (pointsOf(plot).includes(target)) dispatch("mouseout", target); });
}

// --- the animation
const slider = document.getElementById("update"), play = document.getElementById("play");
let timer = 0;

function fittedLine() {
  const [slope, intercept] = data.fit.weights[slider.value];
  return [-1, 1].map((x) => ({ x, y: slope * x + intercept }));
}

function showUpdate() {
  const [slope, intercept] = data.fit.weights[slider.value];
  views.player?.view.data("fitted", fittedLine()).runAsync();
  document.getElementById("update-text").textContent = `update ${data.fit.updates[slider.value]}: y = ${slope} x + ${intercept}, loss ${data.fit.loss[slider.value]}`;
}

function stop() { clearInterval(timer); timer = 0; play.textContent = "Play"; }

function start() {
  if (slider.value === slider.max) slider.value = 0;
  play.textContent = "Stop";
  const interval = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 500 : 60;
  timer = setInterval(() => { slider.value = Number(slider.value) + 1; showUpdate(); if (slider.value === slider.max) stop(); }, interval);
}

async function drawPlayer() {
  const fit = data.fit, plot = document.querySelector("#player .plot"), key = `${themeName()} ${plot?.clientWidth}`;
  if (!fit || views.player?.key === key) return;
  views.player?.view.finalize();
  const points = fit.x.map((x, i) => ({ x, y: fit.y[i] }));
  const spec = { ...data.descent, width: Math.max(180, Math.min(data.descent.width, plot.clientWidth - 60)), datasets: { points, fitted: fittedLine() }, description: plot.getAttribute("aria-label") };
  views.player = { key, view: (await vegaEmbed(plot, spec, { ...EMBED, config: data.themes[themeName()] })).view };
  slider.oninput = () => { stop(); showUpdate(); };
  play.onclick = () => (timer ? stop() : start());
  showUpdate();
}

// --- the table of all cases: headings, and the format of numbers
const COLUMNS = {
  impl: ["implementation"], problem: ["problem"], device: ["device"], dtype: ["dtype"], status: ["status"], per_step_s: ["per step", seconds],
  fraction_of_limit: ["of the limit", (x) => `${digits(100 * x)}%`], limited_by: ["limited by"], step_reads: ["a step reads"],
  low_s: ["lowest block", seconds], high_s: ["highest block", seconds],
  speedup: ["speed-up", factor], low: ["speed-up, low", factor], high: ["speed-up, high", factor], verdict: ["verdict"],
  blocks: ["blocks", String], error_ratio: ["error / tolerance", digits], prepare_s: ["prepare", seconds], compile_s: ["compile", seconds],
  steady_s: ["one run", seconds], n: ["n", String], d: ["d", String], batch: ["batch", String], steps: ["steps", String],
  rss_bytes: ["memory", (x) => `${Math.round(x / 2 ** 20)} MiB`], run: ["run"], reason: ["reason"],
};

function digits(x) { return Math.abs(x) >= 999.5 ? x.toFixed(0) : Number(x).toPrecision(3); }

function seconds(x) {
  for (const [unit, scale] of [["ns", 1e-9], ["µs", 1e-6], ["ms", 1e-3]]) if (Math.abs(x) < 999.5 * scale) return `${digits(x / scale)} ${unit}`;
  return `${digits(x)} s`;
}

function factor(x) { return x < 0.9995 ? `${digits(1 / x)}x slower` : `${digits(x)}x`; }

function cellText(name, value) {
  if (value === null || value === undefined || value === "") return "-";
  return COLUMNS[name][1] ? COLUMNS[name][1](value) : value;
}

function tableRows() {
  const baseline = form.elements.baseline.value, key = (row) => [row.run, row.impl, row.device, row.dtype, row.problem].join("\u0000");
  const speedups = new Map(tables.speedups.filter((row) => row.baseline === baseline).map((row) => [key(row), row]));
  const text = search.value.trim().toLowerCase();
  const rows = filtered(tables.cases).map((row) => {
    const { speedup = null, low = null, high = null, verdict = null } = speedups.get(key(row)) || {};
    return { ...row, baseline, speedup, low, high, verdict };
  }).filter((row) => !text || Object.values(row).some((value) => String(value).toLowerCase().includes(text)));
  const name = sort.name;
  if (!COLUMNS[name]) return rows;
  const compare = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  return rows.sort((a, b) => (a[name] === null) - (b[name] === null) || (sort.descending ? -1 : 1) * compare(a[name], b[name]));
}

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function headingCell([name, [title, format]]) {
  const order = sort.name !== name ? "none" : sort.descending ? "descending" : "ascending";
  const button = element("button", { type: "button" }, title + { none: "", ascending: " ▲", descending: " ▼" }[order]);
  button.dataset.sort = name;
  button.onclick = () => {
    sort = { name, descending: order === "ascending" };
    showTable();
    writeHash();
    document.querySelector(`button[data-sort="${name}"]`).focus();
  };
  return element("th", { scope: "col", className: format ? "number" : "", ariaSort: order }, button);
}

function bodyCell(name, value) {
  const properties = name === "impl" ? { scope: "row" } : { className: COLUMNS[name][1] ? "number" : "" };
  return element(name === "impl" ? "th" : "td", properties, cellText(name, value));
}

function showTable() {
  const rows = tableRows(), shown = showAll ? rows : rows.slice(0, ROWS_SHOWN), table = document.getElementById("cases");
  const names = Object.keys(COLUMNS);
  table.tHead.replaceChildren(element("tr", {}, ...Object.entries(COLUMNS).map(headingCell)));
  table.tBodies[0].replaceChildren(...shown.map((row) => element("tr", {}, ...names.map((name) => bodyCell(name, row[name])))));
  const button = document.getElementById("show-all");
  button.hidden = shown.length === rows.length;
  button.textContent = `Show all ${rows.length} rows`;
  document.getElementById("status").textContent = `${rows.length} of ${tables.cases.length} cases shown, speed-ups over ${form.elements.baseline.value || "nothing"}.`;
}

// --- predictions between the measured sizes: the models of results/stats/prediction.py
const sizeForm = document.getElementById("size");

function isInside(hull, x, y) {
  const turns = hull.map(([x1, y1], i) => { const [x2, y2] = hull[(i + 1) % hull.length]; return (x2 - x1) * (y - y1) - (y2 - y1) * (x - x1); });
  return turns.every((turn) => turn >= -1e-9) || turns.every((turn) => turn <= 1e-9);
}

function predicted(model, n, d) {
  const x = Math.log(n), y = Math.log(d), terms = [1, n, d, n * d];
  const surface = model.weights.reduce((sum, weight, i) => sum - weight * Math.hypot(x - model.places[i][0], y - model.places[i][1]), model.constant);
  return model.prices.reduce((sum, price, i) => sum + price * terms[i], 0) * Math.exp(surface);
}

function predictions() {
  const value = (name) => Number(sizeForm.elements[name].value), n = value("rows"), d = value("features"), steps = value("steps");
  const cold = sizeForm.elements.process.value === "cold", models = data.models[value("model")].impls;
  if (!(n >= 1 && d >= 1 && steps >= 1)) return null;
  return models.filter((model) => isInside(model.hull, Math.log(n), Math.log(d))).map((model) => {
    const step = predicted(model, n, d), factor = Math.exp(model.margin), start = (cold ? model.start_s : 0) + model.fixed_s;
    return { impl: model.impl, tuned: model.tuned, step, low: step / factor, high: step * factor, start, total: start + steps * step, least: start + steps * step / factor, most: start + steps * step * factor };
  }).sort((a, b) => a.total - b.total);
}

function sizeAnswer(found) {
  const { rows, features, steps, model } = sizeForm.elements;
  if (!found) return "Give rows, features and steps of 1 or more.";
  if (!found.length) return `${rows.value} x ${features.value} is not between the measured sizes. To measure it: pytest benchmarks --problem ${rows.value}x${features.value} --until-decided --minutes 5`;
  if (data.models[model.value].busy) return "The machine was busy when this was measured, so no winner is predicted.";
  const usual = found.filter((one) => !one.tuned), [best, ...others] = usual.length ? usual : found;
  const equal = others.filter((one) => one.least <= best.most).map((one) => one.impl);
  const span = `${Number(steps.value).toLocaleString("en")} steps take ${seconds(best.total)} (${seconds(best.least)} to ${seconds(best.most)})`;
  return equal.length ? `Predicted: ${best.impl} is shortest, ${span}. Not distinguishable from it: ${equal.join(", ")}.` : `Predicted: ${best.impl} is fastest, ${span}.`;
}

function showSizes() {
  if (!sizeForm) return;
  const found = predictions(), table = document.getElementById("sizes"), longest = Math.max(...(found || []).map((one) => one.total));
  document.getElementById("size-answer").textContent = sizeAnswer(found);
  table.hidden = !found?.length;
  table.tHead.replaceChildren(element("tr", {}, ...["implementation", "total", "from", "to", "per step", ""].map((title, i) => element("th", { scope: "col", className: i && i < 5 ? "number" : "" }, title))));
  table.tBodies[0].replaceChildren(...(found || []).map((one) => {
    const bar = element("div", { className: "bar", ariaHidden: "true" }, element("span"), element("span"));
    bar.children[0].style.width = `${100 * one.start / longest}%`;
    bar.children[1].style.width = `${100 * (one.total - one.start) / longest}%`;
    const numbers = [one.total, one.least, one.most, one.step].map((value) => element("td", { className: "number" }, seconds(value)));
    return element("tr", {}, element("th", { scope: "row" }, one.impl + (one.tuned ? " (expert-tuned)" : "")), ...numbers, element("td", { className: "bars" }, bar));
  }));
}

if (sizeForm) { sizeForm.oninput = showSizes; sizeForm.onsubmit = (event) => event.preventDefault(); }

// --- downloads
function download(name, href) { element("a", { href, download: name }).click(); }

function downloadText(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  download(name, url);
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/; // first characters of a spreadsheet formula

function csv(rows) {
  const names = Object.keys(rows[0] || {}), quote = (text) => `"${String(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const cell = (value) => (typeof value === "string" ? quote(value) : value ?? "");
  return [names.map(quote), ...rows.map((row) => names.map((name) => cell(row[name])))].map((line) => line.join(",")).join("\n") + "\n";
}

function markdown(rows) {
  const names = Object.keys(COLUMNS), escape = (text) => String(text).replace(/[\\`|*[\]]/g, "\\$&").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replace(/\s+/g, " ");
  const lines = [names.map((name) => COLUMNS[name][0]), names.map((name) => (COLUMNS[name][1] ? "---:" : "---")), ...rows.map((row) => names.map((name) => escape(cellText(name, row[name]))))];
  return lines.map((line) => `| ${line.join(" | ")} |`).join("\n") + "\n";
}

const WRITERS = { csv: ["text/csv", csv], json: ["application/json", (rows) => JSON.stringify(rows, null, 1) + "\n"], md: ["text/markdown", markdown] };

for (const button of document.querySelectorAll("[data-download]")) {
  const extension = button.dataset.download, [type, write] = WRITERS[extension];
  button.onclick = () => downloadText(`descentbench.${extension}`, type, write(tableRows()));
}

for (const button of document.querySelectorAll("[data-save]")) {
  const name = button.closest("figure").dataset.chart, extension = button.dataset.save;
  button.onclick = async () => {
    if (extension === "csv") downloadText(`${name}.csv`, "text/csv", csv(chartRows(name)));
    else download(`${name}.${extension}`, await views[name].view.toImageURL(extension, 2));
  };
}

for (const button of document.querySelectorAll("[data-lines]")) button.onclick = () => { allLines = !allLines; writeHash(); update(); };

// --- updates, one after another
async function draw() {
  document.documentElement.dataset.theme = themeName();
  for (const name of ["baseline", "detail"]) for (const element of document.querySelectorAll(`.${name}`)) element.textContent = form.elements[name].value;
  showTable();
  showSizes();
  for (const name of Object.keys(data.charts)) await drawChart(name);
  await drawPlayer();
}

let pending = Promise.resolve();
function update() {
  pending = pending.then(draw).catch((error) => { document.getElementById("status").textContent = `The page failed: ${error.message}`; throw error; });
  return pending;
}

form.oninput = () => { writeHash(); update(); };
if (form.elements.written) form.elements.written.oninput = form.oninput;
form.onreset = () => setTimeout(() => { search.value = ""; sort = { name: "", descending: false }; allLines = false; writeHash(); update(); });
form.onsubmit = (event) => event.preventDefault();
search.oninput = () => { writeHash(); showTable(); };
document.getElementById("show-all").onclick = () => { showAll = true; showTable(); };
window.onhashchange = () => { if (location.hash.includes("=")) { readHash(); update(); } };
system.onchange = update;
let resizeTimer = 0, width = window.innerWidth;
window.onresize = () => { if (window.innerWidth === width) return; width = window.innerWidth; clearTimeout(resizeTimer); resizeTimer = setTimeout(update, 200); };

if (location.hash.includes("=")) readHash();
document.documentElement.dataset.theme = themeName();
update().then(() => { document.documentElement.dataset.ready = "yes"; });
