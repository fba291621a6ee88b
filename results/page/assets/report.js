"use strict";
// What Python gave: tables as columns, charts as Vega-Lite, both themes. This script filters rows and hands them on;
// every number and verdict was computed before.
const given = JSON.parse(document.getElementById("given").textContent);
const tables = Object.fromEntries(Object.entries(given.tables).map(([name, columns]) => [name, unpack(columns)]));
const form = document.getElementById("filters");
const FILTERS = ["machine", "run", "framework", "impl", "device", "dtype", "problem", "plan"];
const CHOICES = ["baseline", "detail", "theme"];
const EMBED = { ast: true, renderer: "svg", actions: false, defaultStyle: false, logLevel: 1, tooltip: { disableDefaultStyle: true } };
const system = window.matchMedia("(prefers-color-scheme: dark)");
const views = {};
let sorted = { name: "", down: false }, all = false;

function unpack(columns) {
  const names = Object.keys(columns), cells = names.map((name) => {
    const held = columns[name];
    return Array.isArray(held) ? held : held.codes.map((code) => (code < 0 ? null : held.levels[code]));
  });
  return (cells[0] || []).map((_, i) => Object.fromEntries(names.map((name, j) => [name, cells[j][i]])));
}

// --- what is chosen: the form is the state, the hash keeps what differs from the page's beginning
function boxes(name) { return [...form.querySelectorAll(`input[name="${name}"]`)]; }

function chosen(name) { return new Set(boxes(name).filter((box) => box.checked).map((box) => box.value)); }

function toHash() {
  const told = new URLSearchParams();
  for (const name of FILTERS) {
    if (boxes(name).some((box) => box.checked !== box.defaultChecked)) told.set(name, [...chosen(name)].map(encodeURIComponent).join(","));
  }
  for (const name of CHOICES) {
    const select = form.elements[name];
    if (!select.options[select.selectedIndex]?.defaultSelected && select.value !== first(select)) told.set(name, select.value);
  }
  if (search.value) told.set("find", search.value);
  if (sorted.name) told.set("sort", (sorted.down ? "-" : "") + sorted.name);
  const hash = told.toString();
  if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function first(select) { return ([...select.options].find((option) => option.defaultSelected) || select.options[0])?.value; }

function fromHash() {
  const told = new URLSearchParams(location.hash.slice(1));
  for (const name of FILTERS) {
    const wanted = told.has(name) ? new Set(told.get(name).split(",").map(decodeURIComponent)) : null;
    for (const box of boxes(name)) box.checked = wanted ? wanted.has(box.value) : box.defaultChecked;
  }
  for (const name of CHOICES) {
    const select = form.elements[name], value = told.get(name);
    select.value = [...select.options].some((option) => option.value === value) ? value : first(select);
  }
  search.value = told.get("find") || "";
  const sort = told.get("sort") || "";
  sorted = { name: sort.replace(/^-/, ""), down: sort.startsWith("-") };
}

function passing(rows, skip = []) {
  const sets = FILTERS.filter((name) => !skip.includes(name)).map((name) => [name, chosen(name)]);
  return rows.filter((row) => sets.every(([name, set]) => row[name] === null || set.has(row[name])));
}

// --- charts
function mode() {
  const theme = form.elements.theme.value;
  return theme === "auto" ? (system.matches ? "dark" : "light") : theme;
}

function rowsOf(name) {
  const chart = given.charts[name], baseline = form.elements.baseline.value;
  if (chart.detail) {
    const impls = chosen("impl"), frameworks = chosen("framework");
    return tables[chart.table].filter((row) => row.detail === form.elements.detail.value && impls.has(row.impl) && frameworks.has(row.framework));
  }
  const rows = passing(tables[chart.table]);
  return chart.table === "speedups" ? rows.filter((row) => row.baseline === baseline) : rows;
}

function fitted(spec, width) {
  const copy = structuredClone(spec);
  if (copy.spec && typeof copy.spec.width === "number" && copy.columns === 1) copy.spec.width = Math.max(180, Math.min(1000, width - 110));
  if (copy.columns > 1) copy.columns = Math.max(1, Math.min(copy.columns, Math.floor(width / 190)));
  return copy;
}

async function draw(name) {
  const figure = document.getElementById(`chart-${name}`), plot = figure.querySelector(".plot"), rows = rowsOf(name);
  const shown = rows.filter(given.charts[name].keep ? (row) => given.charts[name].keep.every(([column, value]) => row[column] === value) : () => true);
  figure.querySelector(".empty").hidden = shown.length > 0;
  figure.hidden = name === "sweep" && shown.length === 0;
  plot.hidden = shown.length === 0;
  if (!shown.length) return;
  const key = `${mode()} ${plot.clientWidth}`, table = given.charts[name].table;
  if (views[name]?.key === key) { await views[name].view.data(table, shown).runAsync(); return; }
  views[name]?.view.finalize();
  const config = structuredClone(given.themes[mode()]);
  config.legend.columns = Math.max(1, Math.min(4, Math.floor(plot.clientWidth / 170)));
  const spec = { ...fitted(given.charts[name].spec, plot.clientWidth), datasets: { [table]: shown } };
  const made = await vegaEmbed(plot, spec, { ...EMBED, config });
  views[name] = { key, view: made.view };
}

// --- the player
const slide = document.getElementById("update"), play = document.getElementById("play");
let running = 0;

function fittedLine() {
  const [slope, intercept] = given.fit.weights[slide.value];
  return [-1, 1].map((x) => ({ x, y: slope * x + intercept }));
}

function show() {
  const [slope, intercept] = given.fit.weights[slide.value];
  views.player?.view.data("fitted", fittedLine()).runAsync();
  document.getElementById("told").textContent = `update ${given.fit.updates[slide.value]}: y = ${slope} x + ${intercept}, loss ${given.fit.loss[slide.value]}`;
}

function stop() { clearInterval(running); running = 0; play.textContent = "Play"; }

async function player() {
  const fit = given.fit, plot = document.querySelector("#player .plot"), key = `${mode()} ${plot?.clientWidth}`;
  if (!fit || views.player?.key === key) return;
  views.player?.view.finalize();
  const points = fit.x.map((x, i) => ({ x, y: fit.y[i] }));
  const spec = { ...given.descent, width: Math.max(180, Math.min(given.descent.width, plot.clientWidth - 60)), datasets: { points, fitted: fittedLine() } };
  views.player = { key, view: (await vegaEmbed(plot, spec, { ...EMBED, config: given.themes[mode()] })).view };
  slide.oninput = () => { stop(); show(); };
  play.onclick = () => {
    if (running) { stop(); return; }
    if (slide.value === slide.max) slide.value = 0;
    play.textContent = "Stop";
    const pause = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 500 : 60;
    running = setInterval(() => { slide.value = Number(slide.value) + 1; show(); if (slide.value === slide.max) stop(); }, pause);
  };
  show();
}

// --- the table of everything
const search = document.getElementById("find");
const number = (show) => ({ show, number: true });
const COLUMNS = {
  impl: ["implementation"], problem: ["problem"], device: ["device"], dtype: ["dtype"], status: ["status"], per_step_s: ["per step", number(seconds)],
  fraction_of_limit: ["of the limit", number((x) => `${digits(100 * x)}%`)], limited_by: ["limited by"], step_reads: ["steps go over"],
  low_s: ["lowest block", number(seconds)], high_s: ["highest block", number(seconds)], speedup: ["speed-up", number(times)], low: ["from", number(times)], high: ["to", number(times)],
  verdict: ["verdict"], blocks: ["blocks", number(String)], error_ratio: ["error / tolerance", number((x) => digits(x))], prepare_s: ["prepare", number(seconds)], compile_s: ["compile", number(seconds)],
  steady_s: ["a run", number(seconds)], n: ["n", number(String)], d: ["d", number(String)], batch: ["batch", number(String)], steps: ["steps", number(String)], rss_bytes: ["memory", number((x) => `${Math.round(x / 2 ** 20)} MiB`)], run: ["run"], reason: ["reason"],
};

function digits(x) { return Math.abs(x) >= 999.5 ? x.toFixed(0) : Number(x).toPrecision(3); }

function seconds(x) {
  for (const [unit, scale] of [["ns", 1e-9], ["us", 1e-6], ["ms", 1e-3]]) if (Math.abs(x) < 999.5 * scale) return `${digits(x / scale)} ${unit}`;
  return `${digits(x)} s`;
}

function times(x) { return x < 0.9995 ? `${digits(1 / x)}x slower` : `${digits(x)}x`; }

function cell(name, value) {
  if (value === null || value === undefined || value === "") return "-";
  return COLUMNS[name][1] ? COLUMNS[name][1].show(value) : value;
}

function found() {
  const baseline = form.elements.baseline.value, key = (row) => [row.run, row.impl, row.device, row.dtype, row.problem].join("\u0000");
  const over = new Map(tables.speedups.filter((row) => row.baseline === baseline).map((row) => [key(row), row]));
  const word = search.value.trim().toLowerCase();
  const rows = passing(tables.cases).map((row) => ({ ...row, baseline, speedup: null, low: null, high: null, verdict: null, ...pick(over.get(key(row))) }));
  const hits = word ? rows.filter((row) => Object.values(row).some((held) => String(held).toLowerCase().includes(word))) : rows;
  const name = sorted.name;
  if (!COLUMNS[name]) return hits;
  const rank = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
  return hits.sort((a, b) => (a[name] === null) - (b[name] === null) || (sorted.down ? -1 : 1) * rank(a[name], b[name]));
}

function pick(row) { return row ? { speedup: row.speedup, low: row.low, high: row.high, verdict: row.verdict } : {}; }

function list() {
  const rows = found(), shown = all ? rows : rows.slice(0, 200), table = document.getElementById("cases");
  const head = document.createElement("tr");
  for (const [name, [title]] of Object.entries(COLUMNS)) {
    const th = head.appendChild(document.createElement("th")), button = th.appendChild(document.createElement("button"));
    th.scope = "col";
    if (COLUMNS[name][1]) th.className = "number";
    th.setAttribute("aria-sort", sorted.name !== name ? "none" : sorted.down ? "descending" : "ascending");
    button.type = "button";
    button.dataset.sort = name;
    button.textContent = title + (sorted.name === name ? (sorted.down ? " ▼" : " ▲") : "");
    button.onclick = () => { sorted = { name, down: sorted.name === name && !sorted.down }; list(); toHash(); document.querySelector(`button[data-sort="${name}"]`).focus(); };
  }
  table.tHead.replaceChildren(head);
  table.tBodies[0].replaceChildren(...shown.map((row) => {
    const tr = document.createElement("tr");
    for (const name of Object.keys(COLUMNS)) {
      const td = tr.appendChild(document.createElement(name === "impl" ? "th" : "td"));
      if (name === "impl") td.scope = "row";
      if (COLUMNS[name][1]) td.className = "number";
      td.textContent = cell(name, row[name]);
    }
    return tr;
  }));
  const more = document.getElementById("more");
  more.hidden = shown.length === rows.length;
  more.textContent = `Show all ${rows.length} rows`;
  document.getElementById("status").textContent = `${rows.length} of ${tables.cases.length} cases shown, speed-ups over ${form.elements.baseline.value || "nothing"}.`;
}

// --- downloads
function save(name, type, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const formula = /^[=+\-@\t\r\n＝＋－＠]/; // what a spreadsheet would compute

function csv(rows) {
  const names = Object.keys(rows[0] || {}), quote = (text) => `"${String(formula.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`;
  const one = (held) => (held === null || held === undefined ? "" : typeof held === "string" ? quote(held) : held);
  return [names.map(quote), ...rows.map((row) => names.map((name) => one(row[name])))].map((line) => line.join(",")).join("\n") + "\n";
}

function markdown(rows) {
  const names = Object.keys(COLUMNS), plain = (text) => String(text).replace(/[\\`|*[\]]/g, "\\$&").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replace(/\s+/g, " ");
  const lines = [names.map((name) => COLUMNS[name][0]), names.map((name) => (COLUMNS[name][1] ? "---:" : "---")), ...rows.map((row) => names.map((name) => plain(cell(name, row[name]))))];
  return lines.map((line) => `| ${line.join(" | ")} |`).join("\n") + "\n";
}

const WRITERS = { csv: ["text/csv", csv], json: ["application/json", (rows) => JSON.stringify(rows, null, 1) + "\n"], md: ["text/markdown", markdown] };

for (const button of document.querySelectorAll("[data-download]")) {
  const kind = button.dataset.download, [type, write] = WRITERS[kind];
  button.onclick = () => save(`descentbench.${kind}`, type, write(found()));
}

for (const button of document.querySelectorAll("[data-save]")) {
  const name = button.closest("figure").dataset.chart, kind = button.dataset.save;
  button.onclick = async () => {
    if (kind === "csv") return save(`${name}.csv`, "text/csv", csv(rowsOf(name)));
    const link = document.createElement("a");
    link.href = await views[name].view.toImageURL(kind, 2);
    link.download = `${name}.${kind}`;
    link.click();
  };
}

// --- one change, one update
async function update() {
  document.documentElement.dataset.theme = mode();
  for (const name of ["baseline", "detail"]) for (const place of document.querySelectorAll(`.${name}`)) place.textContent = form.elements[name].value;
  list();
  for (const name of Object.keys(given.charts)) await draw(name);
  await player();
}

let busy = Promise.resolve();
function changed() { busy = busy.then(update).catch((error) => { document.getElementById("status").textContent = `This page has failed: ${error.message}`; throw error; }); return busy; }

form.oninput = () => { toHash(); changed(); };
form.onreset = () => setTimeout(() => { search.value = ""; sorted = { name: "", down: false }; toHash(); changed(); });
form.onsubmit = (event) => event.preventDefault();
search.oninput = () => { toHash(); list(); };
document.getElementById("more").onclick = () => { all = true; list(); };
window.onhashchange = () => { if (location.hash.includes("=")) { fromHash(); changed(); } };
system.onchange = changed;
let waiting = 0, width = window.innerWidth;
window.onresize = () => { if (window.innerWidth === width) return; width = window.innerWidth; clearTimeout(waiting); waiting = setTimeout(changed, 200); };

if (window.innerWidth < 640) form.querySelector("details").open = false;
if (location.hash.includes("=")) fromHash();
document.documentElement.dataset.theme = mode();
changed().then(() => { document.documentElement.dataset.ready = "yes"; });
