// Tables that sort and filter, and which pictures there are.
function cell(value, kind) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (kind === "time") return stamp(value);
  if (kind === "percent") return percent(value);
  if (kind === "number") return plain(value);
  if (kind === "value") return typeof value === "number" ? plain(value) : String(value);
  return String(value);
}
function table(id, spec) {
  const place = document.getElementById(id);
  if (!place || !spec) return;
  const count = spec.columns[0].values.length, shown = spec.columns.map(c => c.values.map(v => cell(v, c.kind)));
  const lower = Array.from({ length: count }, (_, i) => shown.map(c => c[i]).join(" ").toLowerCase());
  let order = Array.from({ length: count }, (_, i) => i), sorted = -1, down = false, limit = ROWS, words = [];
  const field = el("input", { type: "search", id: id + "-filter", placeholder: "words, all of which a row has" });
  const told = el("span", { class: "told", role: "status" }), more = el("button", { type: "button" }, "Show more");
  const head = el("tr"), body = el("tbody");
  spec.columns.forEach((column, c) => {
    const button = el("button", { type: "button" }, column.label);
    const th = el("th", { scope: "col", class: column.kind, "aria-sort": "none" }, button);
    button.addEventListener("click", () => {
      down = sorted === c ? !down : false;
      sorted = c;
      head.querySelectorAll("th").forEach(other => other.setAttribute("aria-sort", "none"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
      const values = column.values, empty = v => v === null || v === undefined || Number.isNaN(v);
      order.sort((a, b) => {
        const x = values[a], y = values[b];
        if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b;
        const by = x < y ? -1 : x > y ? 1 : 0;
        return (down ? -by : by) || a - b;
      });
      fill();
    });
    head.append(th);
  });
  function fill() {
    const found = order.filter(i => words.every(word => lower[i].includes(word)));
    body.replaceChildren(...found.slice(0, limit).map(i => el("tr", {},
      ...spec.columns.map((c, n) => el("td", { class: c.kind }, shown[n][i])))));
    told.textContent = `${found.length.toLocaleString("en-US")} of ${count.toLocaleString("en-US")} rows` +
      (found.length > limit ? `, the first ${limit} shown` : "");
    more.hidden = found.length <= limit;
  }
  field.addEventListener("input", () => { words = field.value.toLowerCase().split(/\s+/).filter(Boolean); limit = ROWS; fill(); });
  more.addEventListener("click", () => { limit += 5 * ROWS; fill(); });
  place.append(
    el("div", { class: "tools" }, el("label", { for: id + "-filter" }, "Filter"), field, told),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": spec.label },
      el("table", {}, el("caption", { class: "unseen" }, spec.label), el("thead", {}, head), body)), more);
  fill();
}
const frame = (low, high) => ({ prepare: () => ({ low, high }), paint() {} });
const column = (spec, name) => spec.columns.find(c => c.name === name).values;

function histogram(id, values, name) {
  const known = values.filter(v => v !== null && Number.isFinite(v));
  if (!known.length) return;
  const edge = share => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  const sorted = Float64Array.from(known).sort();
  let low = edge(0.005), high = edge(0.995); // a few far ones are counted in the first and last bar
  if (low === high) { low -= 1e-4; high += 1e-4; }
  const bins = Math.min(60, Math.max(8, Math.ceil(Math.sqrt(known.length) * 1.5))), width = (high - low) / bins;
  const xs = Array.from({ length: bins }, (_, i) => low + (i + 0.5) * width), ys = new Array(bins).fill(0);
  for (const v of known) ys[Math.max(0, Math.min(bins - 1, Math.floor((v - low) / width)))]++;
  new Chart(id, { linked: false, range: [low, high], across: percent,
    layers: [columns(id, xs, ys, { half: width / 2, color: "--accent", name })] });
}
function scatter(id, trades) {
  const down = column(trades, "mae"), up = column(trades, "mfe"), pnl = column(trades, "pnl");
  const rows = [];
  down.forEach((x, i) => {
    if (x === null) return;
    rows.push({ x, y: up[i], shape: pnl[i] < 0 ? "down" : "up", color: pnl[i] < 0 ? "--down" : "--up", text: "",
      group: pnl[i] < 0 });
  });
  if (!rows.length) return;
  const edge = k => (Float64Array.from(rows, r => r[k]).sort()[Math.floor(0.99 * (rows.length - 1))] || 1e-4) * 1.05;
  const right = edge("x"), top = edge("y"); // a few far ones stand on the edge
  for (const row of rows) { row.x = Math.min(row.x, right); row.y = Math.min(row.y, top); }
  rows.sort((a, b) => a.x - b.x);
  new Chart(id, { linked: false, format: percent, across: percent, range: [0, right * 1.02],
    layers: [frame(0, top * 1.02), marks(id, rows)] });
}
function fillMarks(symbol) {
  const f = DATA.fills, rows = [], stops = { STOP_LOSS: 1, TRAILING_STOP: 1, LIQUIDATION: 1, FLATTEN: 1 };
  const [when, names, side, qty, price] = ["time", "symbol", "side", "qty", "price"].map(n => column(f, n));
  const kind = f.columns.find(c => c.name === "kind");
  when.forEach((ms, i) => {
    if (names[i] !== symbol) return;
    const why = kind ? kind.values[i] : "";
    rows.push({ x: firstAt(slices, ms), y: price[i], color: side[i] === "BUY" ? "--buy" : "--sell", group: side[i] + why,
      shape: stops[why] ? "box" : why === "TAKE_PROFIT" ? "dot" : side[i] === "BUY" ? "up" : "down",
      text: `${side[i]} ${plain(qty[i])} at ${plain(price[i])} ${why} ${stamp(ms)}` });
  });
  return rows;
}
async function oneRun() {
  slices = await unpack(DATA.slices);
  whole = [0, Math.max(1, slices.length - 1)];
  view = [...whole];
  let bars = 0, fills = 0;
  for (const [n, price] of DATA.prices.entries()) {
    const [x, c, open, above, below] = await Promise.all(["x", "c", "o", "h", "l"].map(k => unpack(price[k])));
    const o = c.map((v, i) => v + open[i]);
    const h = c.map((v, i) => Math.max(v, o[i]) + above[i]), l = c.map((v, i) => Math.min(v, o[i]) - below[i]);
    const rows = fillMarks(price.symbol);
    const layers = [bands(DATA.spells)];
    if (x.length) layers.push(candles("price-" + n, { x, o, h, l, c }));
    else if (rows.length) layers.push(frame(Math.min(...rows.map(r => r.y)), Math.max(...rows.map(r => r.y))));
    layers.push(marks("fills-" + n, rows, 1.6));
    new Chart("price-" + n, { layers });
    bars += x.length; fills += rows.length;
  }
  const at = await unpack(DATA.equity.x), equity = await unpack(DATA.equity.y), fall = new Float64Array(at.length);
  let peak = DATA.start_equity;
  equity.forEach((v, i) => { peak = Math.max(peak, v); fall[i] = peak > 0 ? -(peak - v) / peak : 0; });
  new Chart("equity", { layers: [bands(DATA.spells), line("equity", at, equity, "--accent", { name: "equity" })] });
  new Chart("drawdown", { format: percent, layers: [bands(DATA.spells),
    line("drawdown", at, fall, "--down", { name: "drawdown", zero: true, fill: true, format: percent })] });
  const held = await unpack(DATA.exposure.x), gross = await unpack(DATA.exposure.y);
  new Chart("exposure", { layers: [bands(DATA.spells),
    line("exposure", held, gross, "--accent", { name: "exposure", zero: true, fill: true })] });
  const days = DATA.days, limit = DATA.max_daily_loss;
  const dayLayers = [columns("days", days.values.map((_, i) => i), days.values, { name: "P&L" })];
  if (limit !== null) dayLayers.push(level(-limit, "--halted", "limit", days.values));
  new Chart("days", { linked: false, range: [-0.5, Math.max(0.5, days.values.length - 0.5)], layers: dayLayers,
    across: x => days.dates[Math.max(0, Math.min(days.dates.length - 1, Math.round(x)))] || "" });
  const trades = DATA.tables.find(t => t.id === "trades");
  histogram("returns", column(trades, "return_frac"), "trades");
  scatter("excursions", trades);
  const refused = DATA.tables.find(t => t.id === "refusals"), lanes = DATA.lanes;
  if (lanes.length) {
    const why = column(refused, "reason"), observed = column(refused, "observed"), most = column(refused, "limit");
    const ends = column(refused, "to"), outcome = column(refused, "outcome"), spells = [];
    column(refused, "from").forEach((ms, i) => spells.push({ x: firstAt(slices, ms), y: lanes.indexOf(why[i]), group: why[i] + outcome[i],
      shape: outcome[i] === "denied" ? "box" : "dot", color: outcome[i] === "denied" ? "--down" : "--accent",
      text: `${outcome[i]} ${why[i]} to ${stamp(ends[i])}: observed ${plain(observed[i])}, limit ${plain(most[i])}` }));
    spells.sort((a, b) => a.x - b.x);
    new Chart("lanes", { lanes, layers: [frame(-0.5, lanes.length - 0.5), marks("lanes", spells)] });
  }
  window.traderReport = { bars, fills, slices: slices.length, drawn, view: () => [...view], show };
}
async function manyRuns() {
  const layers = [];
  let low = Infinity, high = -Infinity;
  for (const [n, run] of DATA.curves.entries()) {
    const x = await unpack(run.x), y = await unpack(run.y);
    if (!x.length) continue;
    low = Math.min(low, x[0]); high = Math.max(high, x.at(-1));
    layers.push(line("curve-" + n, x, y, "--line-" + n % 6, { name: run.name, format: percent, dash: n < 6 ? [] : [5, 3] }));
  }
  whole = low < high ? [low, high] : [0, 1];
  view = [...whole];
  new Chart("equity", { layers, format: percent });
  window.traderReport = { curves: layers.length, drawn, view: () => [...view], show };
}
(async () => {
  const packed = JSON.parse(document.getElementById("data").textContent);
  DATA = JSON.parse(new TextDecoder().decode(await inflated(packed.text)));
  for (const spec of DATA.tables) if (spec.id === "fills") DATA.fills = spec;
  if (DATA.curves) await manyRuns();
  else if (DATA.slices) await oneRun();
  else window.traderReport = {};
  for (const spec of DATA.tables) table(spec.id, spec);
  drawAll();
  new ResizeObserver(drawAll).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  const now = () => charts.forEach(chart => chart.draw());
  addEventListener("beforeprint", now);
  addEventListener("afterprint", now);
  matchMedia("print").addEventListener("change", now);
  document.documentElement.dataset.ready = "yes";
})();
