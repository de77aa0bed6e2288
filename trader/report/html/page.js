"use strict";
// The report's pictures and tables. All data is in the page; nothing is fetched.
// Law: at most MOST points are drawn for one line or row of candles, and every stretch of the
// full data keeps its lowest and highest value; zooming in shows more.
const MOST = 4000, ROWS = 200, PAD = { left: 74, right: 12, top: 8, bottom: 22 };
const drawn = {}, charts = [];
let view = null, whole = null, DATA = null, slices = null;

const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
async function unpack(block) {
  const out = new Float64Array(block.n), n = block.n;
  if (!n) return out;
  const bytes = await inflated(block.data);
  for (let i = 0, sum = 0; i < n; i++) {
    const step = bytes[i] | bytes[n + i] << 8 | bytes[2 * n + i] << 16 | bytes[3 * n + i] << 24;
    sum = block.diff ? (sum + step) | 0 : step;
    out[i] = block.base + sum * block.scale;
  }
  return out;
}
function firstAt(values, x) { // first place whose value is x or more
  let low = 0, high = values.length;
  while (low < high) { const mid = (low + high) >> 1; if (values[mid] < x) low = mid + 1; else high = mid; }
  return low;
}
const stamp = ms => new Date(ms).toISOString().slice(0, 19).replace("T", " ");
const timeAt = x => {
  if (!slices) return x;
  const place = Math.max(0, Math.min(slices.length - 1, Math.round(x)));
  return slices[place];
};
const plain = value => value === null || Number.isNaN(value) ? "" :
  Math.abs(value) >= 1000 ? value.toLocaleString("en-US", { maximumFractionDigits: 2 }) :
  String(+value.toPrecision(6));
const percent = value => (value * 100).toFixed(2) + " %";

class Chart {
  constructor(id, options) {
    this.box = document.getElementById(id);
    if (!this.box) return;
    this.id = id;
    this.options = { linked: true, format: plain, ...options };
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.told = el("p", { class: "told", "aria-live": "polite" });
    this.box.append(this.canvas, this.told);
    this.box.tabIndex = 0;
    if (this.options.linked) this.listen();
    charts.push(this);
  }
  listen() {
    const width = () => this.canvas.clientWidth - PAD.left - PAD.right;
    const at = event => view[0] + (event.offsetX - PAD.left) / width() * (view[1] - view[0]);
    this.canvas.addEventListener("wheel", event => {
      if (!event.ctrlKey && !event.shiftKey && document.activeElement !== this.box) return;
      event.preventDefault();
      zoom(event.deltaY > 0 ? 1.25 : 0.8, at(event));
    }, { passive: false });
    let from = null;
    this.canvas.addEventListener("pointerdown", event => {
      from = { x: event.offsetX, view: [...view] };
      this.canvas.setPointerCapture(event.pointerId);
      this.box.focus({ preventScroll: true });
    });
    this.canvas.addEventListener("pointermove", event => {
      if (from) {
        const by = (from.x - event.offsetX) / width() * (from.view[1] - from.view[0]);
        show(from.view[0] + by, from.view[1] + by);
      } else this.tell(at(event));
    });
    this.canvas.addEventListener("pointerup", event => {
      if (from && Math.abs(from.x - event.offsetX) < 3) this.tell(at(event));
      from = null;
    });
    this.canvas.addEventListener("dblclick", () => show(...whole));
    this.box.addEventListener("keydown", event => {
      const step = (view[1] - view[0]) / 5, mid = (view[0] + view[1]) / 2;
      const act = {
        ArrowLeft: () => show(view[0] - step, view[1] - step),
        ArrowRight: () => show(view[0] + step, view[1] + step),
        "+": () => zoom(0.5, mid), "=": () => zoom(0.5, mid), "-": () => zoom(2, mid),
        Home: () => show(...whole), 0: () => show(...whole),
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
      this.tell(mid);
    });
  }
  tell(x) {
    const parts = [stamp(timeAt(x)) + " UTC"];
    for (const layer of this.options.layers) if (layer.tell) parts.push(layer.tell(x, view));
    this.told.textContent = parts.filter(Boolean).join(" · ");
  }
  draw() {
    const ratio = window.devicePixelRatio || 1;
    const w = this.canvas.clientWidth, h = this.canvas.clientHeight;
    if (!w || !h) return;
    this.canvas.width = w * ratio; this.canvas.height = h * ratio;
    const g = this.g = this.canvas.getContext("2d");
    g.scale(ratio, ratio);
    g.font = "11px " + css("--font");
    const [x0, x1] = this.options.linked ? view : this.options.range;
    let low = Infinity, high = -Infinity;
    const layers = this.options.layers.map(layer => {
      const made = layer.prepare(x0, x1, w - PAD.left - PAD.right);
      if (made.low < low) low = made.low;
      if (made.high > high) high = made.high;
      return [layer, made];
    });
    if (low > high) { low = 0; high = 1; }
    const room = (high - low || Math.abs(high) || 1) * 0.05;
    if (!this.options.lanes) { high += room; if (low !== 0) low -= room; }
    this.x = x => PAD.left + (x - x0) / (x1 - x0 || 1) * (w - PAD.left - PAD.right);
    this.y = y => h - PAD.bottom - (y - low) / (high - low || 1) * (h - PAD.top - PAD.bottom);
    this.axes(g, w, h, low, high, x0, x1);
    g.save();
    g.beginPath(); g.rect(PAD.left, 0, w - PAD.left - PAD.right, h - PAD.bottom + 1); g.clip();
    for (const [layer, made] of layers) layer.paint(g, this, made, h);
    g.restore();
  }
  axes(g, w, h, low, high, x0, x1) {
    g.strokeStyle = css("--grid"); g.fillStyle = css("--soft"); g.lineWidth = 1;
    g.textBaseline = "middle"; g.textAlign = "right";
    if (this.options.lanes) this.options.lanes.forEach((name, lane) => {
      g.textAlign = "left";
      g.fillText(name, PAD.left, this.y(lane) - 9);
    });
    else for (const tick of ticks(low, high, Math.max(2, h / 45))) {
      const y = Math.round(this.y(tick)) + 0.5;
      g.beginPath(); g.moveTo(PAD.left, y); g.lineTo(w - PAD.right, y); g.stroke();
      g.fillText(this.options.format(tick), PAD.left - 6, y);
    }
    g.textAlign = "center"; g.textBaseline = "alphabetic";
    const count = Math.max(2, Math.floor((w - PAD.left) / 130));
    for (let i = 0; i <= count; i++) {
      const x = x0 + (x1 - x0) * i / count;
      const across = this.options.across || (v => {
        const span = timeAt(x1) - timeAt(x0), text = stamp(timeAt(v));
        return span > 5 * 864e5 ? text.slice(0, 10) : text.slice(5, 16);
      });
      g.textAlign = i === 0 ? "left" : i === count ? "right" : "center";
      g.fillText(across(x), this.x(x), h - 6);
    }
  }
}
function ticks(low, high, count) {
  const raw = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(m => m * power).find(s => s >= raw) || raw, out = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) out.push(+t.toPrecision(12));
  return out;
}
function show(from, to) {
  const least = slices ? 20 : 1000, width = Math.max(least, Math.min(to - from, whole[1] - whole[0]));
  from = Math.max(whole[0], Math.min(from, whole[1] - width));
  view = [from, from + width];
  drawAll();
}
const zoom = (by, at) => show(at - (at - view[0]) * by, at + (view[1] - at) * by);
let waiting = false;
function drawAll() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; for (const chart of charts) chart.draw(); });
}

// Layers: prepare(x0, x1, pixels) gives low and high and what to paint; paint draws it.
function candles(id, price) {
  return {
    prepare(x0, x1, pixels) {
      const from = Math.max(0, firstAt(price.x, x0) - 1), to = Math.min(price.x.length, firstAt(price.x, x1) + 1);
      const most = Math.max(1, Math.min(MOST / 4, Math.floor(pixels / 3)));
      const size = Math.max(1, Math.ceil((to - from) / most)), bars = [];
      let low = Infinity, high = -Infinity;
      for (let i = from; i < to; i += size) {
        const end = Math.min(i + size, to);
        let bottom = Infinity, top = -Infinity;
        for (let k = i; k < end; k++) {
          if (price.l[k] < bottom) bottom = price.l[k];
          if (price.h[k] > top) top = price.h[k];
        }
        bars.push([price.x[i], price.x[end - 1], price.o[i], top, bottom, price.c[end - 1]]);
        if (bottom < low) low = bottom;
        if (top > high) high = top;
      }
      drawn[id] = bars.length * 4;
      return { low, high, bars, wide: pixels / Math.max(1, bars.length) };
    },
    paint(g, chart, made) {
      const half = Math.max(0.5, Math.min(6, made.wide * 0.35)), up = css("--up"), down = css("--down");
      for (const [a, b, open, high, low, close] of made.bars) {
        const x = chart.x((a + b) / 2);
        g.strokeStyle = g.fillStyle = close >= open ? up : down;
        g.beginPath(); g.moveTo(x, chart.y(high)); g.lineTo(x, chart.y(low)); g.stroke();
        const y = chart.y(Math.max(open, close)), tall = Math.max(1, Math.abs(chart.y(open) - chart.y(close)));
        if (close >= open && half > 2) g.strokeRect(x - half, y, half * 2, tall);
        else g.fillRect(x - half, y, half * 2, tall);
      }
    },
    tell(x) {
      const i = Math.min(price.x.length - 1, firstAt(price.x, x - 0.5));
      if (i < 0) return "";
      return `open ${plain(price.o[i])} high ${plain(price.h[i])} low ${plain(price.l[i])} close ${plain(price.c[i])}`;
    },
  };
}
function line(id, xs, ys, color, options = {}) {
  return {
    prepare(x0, x1) {
      const from = Math.max(0, firstAt(xs, x0) - 1), to = Math.min(xs.length, firstAt(xs, x1) + 1);
      const size = Math.max(1, Math.ceil((to - from) / (MOST / 2))), points = [];
      let low = options.zero ? 0 : Infinity, high = options.zero ? 0 : -Infinity;
      for (let i = from; i < to; i += size) {
        let least = i, most = i;
        for (let k = i; k < Math.min(i + size, to); k++) {
          if (ys[k] < ys[least]) least = k;
          if (ys[k] > ys[most]) most = k;
        }
        points.push(Math.min(least, most));
        if (least !== most) points.push(Math.max(least, most));
        if (ys[least] < low) low = ys[least];
        if (ys[most] > high) high = ys[most];
      }
      drawn[id] = points.length;
      return { low, high, points };
    },
    paint(g, chart, made) {
      g.strokeStyle = css(color); g.lineWidth = 1.5; g.setLineDash(options.dash || []);
      g.beginPath();
      made.points.forEach((i, n) => n ? g.lineTo(chart.x(xs[i]), chart.y(ys[i])) : g.moveTo(chart.x(xs[i]), chart.y(ys[i])));
      g.stroke(); g.setLineDash([]);
      if (options.fill && made.points.length) {
        g.lineTo(chart.x(xs[made.points.at(-1)]), chart.y(0)); g.lineTo(chart.x(xs[made.points[0]]), chart.y(0));
        g.globalAlpha = 0.2; g.fillStyle = css(color); g.fill(); g.globalAlpha = 1;
      }
    },
    tell(x) {
      const i = Math.min(xs.length - 1, firstAt(xs, x));
      return i < 0 ? "" : `${options.name} ${(options.format || plain)(ys[i])}`;
    },
  };
}
function bands(spells) { // a pattern as well as a colour, so that neither colour alone tells
  return {
    prepare: () => ({ low: Infinity, high: -Infinity }),
    paint(g, chart, made, h) {
      for (const [from, to, state] of spells) {
        const a = chart.x(from), b = Math.max(a + 1, chart.x(to));
        if (b < PAD.left || a > chart.canvas.clientWidth) continue;
        g.globalAlpha = 0.22; g.fillStyle = css(state === "HALTED" ? "--halted" : "--reducing");
        g.fillRect(a, 0, b - a, h); g.globalAlpha = 1;
        if (b - a > 54) { g.fillStyle = css("--soft"); g.textAlign = "left"; g.fillText(state, Math.max(a, PAD.left) + 4, 16); }
      }
    },
    tell(x) { const at = spells.find(s => s[0] <= x && x < s[1]); return at ? at[2] : ""; },
  };
}
function marks(id, rows, least = 2.5) { // rows: {x, y, shape, color, text, group}, sorted by x
  const xs = rows.map(row => row.x);
  return {
    prepare(x0, x1) {
      const from = firstAt(xs, x0), to = firstAt(xs, x1 + 1e-9), counts = new Map(), seen = new Map(), shown = [];
      for (let i = from; i < to; i++) counts.set(rows[i].group, (counts.get(rows[i].group) || 0) + 1);
      const share = MOST / Math.max(1, counts.size); // of each group: buys and sells take turns
      for (let i = from; i < to; i++) {
        const group = rows[i].group, place = seen.get(group) || 0;
        if (place % Math.ceil(counts.get(group) / share) === 0) shown.push(rows[i]);
        seen.set(group, place + 1);
      }
      drawn[id] = shown.length;
      return { low: Infinity, high: -Infinity, shown };
    },
    paint(g, chart, made) {
      const count = made.shown.length, many = count > 400; // many: the price stays in sight
      const size = count > 1500 ? least : many ? 2.5 : 5;
      g.globalAlpha = many ? 0.75 : 1;
      for (const row of made.shown) {
        const x = chart.x(row.x), y = chart.y(row.y);
        g.fillStyle = css(row.color); g.strokeStyle = css("--back"); g.lineWidth = 1;
        g.beginPath();
        if (row.shape === "up") { g.moveTo(x, y - size); g.lineTo(x + size, y + size); g.lineTo(x - size, y + size); }
        else if (row.shape === "down") { g.moveTo(x, y + size); g.lineTo(x + size, y - size); g.lineTo(x - size, y - size); }
        else if (row.shape === "box") g.rect(x - size + 1, y - size + 1, 2 * size - 2, 2 * size - 2);
        else g.arc(x, y, size - 1, 0, 7);
        g.closePath(); g.fill();
        if (!many) g.stroke();
      }
      g.globalAlpha = 1;
    },
    tell(x, [x0, x1]) {
      const near = (x1 - x0) / 150;
      let i = firstAt(xs, x - near), best = null;
      for (; i < rows.length && xs[i] <= x + near; i++) if (!best || Math.abs(xs[i] - x) < Math.abs(best.x - x)) best = rows[i];
      return best ? best.text : "";
    },
  };
}
function columns(id, xs, ys, options = {}) { // bars from zero; the half width in units of x
  const half = options.half || 0.4;
  return {
    prepare(x0, x1) {
      const from = firstAt(xs, x0 - half), to = firstAt(xs, x1 + half);
      let low = 0, high = 0;
      for (let i = from; i < to; i++) { low = Math.min(low, ys[i]); high = Math.max(high, ys[i]); }
      drawn[id] = to - from;
      return { low, high, from, to };
    },
    paint(g, chart, made) {
      for (let i = made.from; i < made.to; i++) {
        g.fillStyle = css(options.color || (ys[i] < 0 ? "--down" : "--up"));
        const a = chart.x(xs[i] - half), b = chart.x(xs[i] + half), y = chart.y(Math.max(0, ys[i]));
        g.fillRect(a, y, Math.max(1, b - a - 1), Math.max(0.5, Math.abs(chart.y(0) - chart.y(ys[i]))));
      }
    },
    tell(x) {
      const i = Math.min(xs.length - 1, firstAt(xs, x - half));
      return i < 0 || Math.abs(xs[i] - x) > half ? "" : `${options.name} ${plain(ys[i])}`;
    },
  };
}
const level = (value, color, name, values) => ({ // one far from all values is told, not drawn
  prepare: () => values.every(v => 4 * Math.abs(v) < Math.abs(value)) && values.some(v => v)
    ? { low: Infinity, high: -Infinity, far: true } : { low: Math.min(0, value), high: Math.max(0, value) },
  paint(g, chart, made, h) {
    if (made.far) {
      g.fillStyle = css("--soft"); g.textAlign = "left";
      g.fillText(`${name} ${plain(value)}: far below`, PAD.left + 4, h - PAD.bottom - 5);
      return;
    }
    const y = chart.y(value);
    g.strokeStyle = css(color); g.setLineDash([6, 4]); g.lineWidth = 1.5;
    g.beginPath(); g.moveTo(0, y); g.lineTo(9999, y); g.stroke(); g.setLineDash([]);
    g.fillStyle = css("--soft"); g.textAlign = "left"; g.fillText(name, PAD.left + 4, y - 4);
  },
});
