// Learning curves as SVG, drawn again as points come in: one figure for each metric, its values on validation
// rows as a second line.

const WIDTH = 480, HEIGHT = 230, LEFT = 46, RIGHT = 10, TOP = 12, BOTTOM = 24;
const SECOND = "val_";

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

export function shown(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
}

function ticks(low, high, count, whole) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const over = rough / power;
  let step = power * (over > 7 ? 10 : over > 3.2 ? 5 : over > 1.4 ? 2 : 1);
  if (whole) step = Math.max(1, Math.round(step));
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(Number(value.toPrecision(10)));
  return found;
}

class Figure {
  constructor(name) {
    this.name = name;
    this.lines = new Map();
    this.at = null;
    this.element = document.createElement("figure");
    this.element.className = "curve";
    this.caption = document.createElement("figcaption");
    this.drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", tabindex: "0" });
    this.element.append(this.caption, this.drawing);
    this.drawing.addEventListener("pointermove", (event) => {
      const box = this.drawing.getBoundingClientRect();
      this.point(this.stepAt(((event.clientX - box.left) / box.width) * WIDTH));
    });
    this.drawing.addEventListener("pointerleave", () => this.point(null));
    this.drawing.addEventListener("blur", () => this.point(null));
    this.drawing.addEventListener("keydown", (event) => {
      const steps = this.steps();
      const here = this.at === null ? steps.length - 1 : steps.indexOf(this.at);
      const there = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: steps.length - 1 }[event.key];
      if (there === undefined) return;
      event.preventDefault();
      this.point(steps[Math.min(steps.length - 1, Math.max(0, there))]);
    });
  }

  add(name, step, value) {
    if (!this.lines.has(name)) this.lines.set(name, new Map());
    this.lines.get(name).set(step, value);
  }

  steps() {
    return [...new Set([...this.lines.values()].flatMap((line) => [...line.keys()]))].sort((a, b) => a - b);
  }

  stepAt(x) {
    const steps = this.steps();
    return steps.reduce((best, step) => (Math.abs(this.x(step) - x) < Math.abs(this.x(best) - x) ? step : best), steps[0]);
  }

  point(step) {
    if (step === this.at) return;
    this.at = step;
    this.draw();
  }

  draw() {
    const steps = this.steps();
    const values = [...this.lines.values()].flatMap((line) => [...line.values()]).filter(Number.isFinite);
    const first = steps[0], last = Math.max(steps[steps.length - 1], first + 1);
    let low = Math.min(...values), high = Math.max(...values);
    const room = (high - low) * 0.08 || Math.abs(high) * 0.1 || 1;
    if (!(low >= 0 && low - room < 0)) low -= room; else low = 0;
    high += room;
    this.x = (step) => LEFT + ((step - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
    const y = (value) => HEIGHT - BOTTOM - ((value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);

    const parts = [];
    for (const value of ticks(low, high, 4, false)) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }));
      parts.push(svg("text", { x: LEFT - 7, y: y(value) + 4, "text-anchor": "end" }, shown(value)));
    }
    for (const step of ticks(first, last, 6, true)) {
      parts.push(svg("text", { x: this.x(step), y: HEIGHT - 7, "text-anchor": "middle" }, step));
    }
    if (this.at !== null) {
      parts.push(svg("line", { class: "cursor", x1: this.x(this.at), x2: this.x(this.at), y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    const keys = [];
    for (const [name, line] of [...this.lines].sort((a, b) => a[0].length - b[0].length)) {
      const second = name.startsWith(SECOND) ? "second " : "";
      const points = [...line].filter((point) => Number.isFinite(point[1])).sort((a, b) => a[0] - b[0]);
      if (!points.length) continue;
      const path = points.map(([step, value], n) => `${n ? "L" : "M"}${this.x(step).toFixed(1)} ${y(value).toFixed(1)}`).join("");
      parts.push(svg("path", { class: `${second}line`, d: path }));
      const marked = points.findLast((point) => this.at === null || point[0] <= this.at) ?? points[0];
      parts.push(svg("circle", { class: `${second}dot`, cx: this.x(marked[0]), cy: y(marked[1]), r: 3.2 }));
      const key = document.createElement("span");
      key.className = `key ${second}`;
      key.textContent = `${second ? "validation" : "training"} ${shown(marked[1])}`;
      keys.push(key);
    }
    const title = document.createElement("b");
    title.textContent = this.name + (this.at === null ? "" : `, epoch ${this.at}`);
    this.caption.replaceChildren(title, ...keys);
    this.drawing.replaceChildren(...parts);
    this.drawing.setAttribute("aria-label", `${this.name} by epoch: ${keys.map((key) => key.textContent).join(", ")}`);
  }
}

export class Curves {
  constructor(place) {
    this.place = place;
    this.figures = new Map();
    this.stale = new Set();
  }

  clear() {
    this.figures.clear();
    this.place.replaceChildren();
  }

  add(name, step, value) {
    const base = name.startsWith(SECOND) ? name.slice(SECOND.length) : name;
    if (!this.figures.has(base)) {
      this.figures.set(base, new Figure(base));
      this.place.append(this.figures.get(base).element);
    }
    this.figures.get(base).add(name, step, value);
    if (!this.stale.size) requestAnimationFrame(() => this.draw());
    this.stale.add(this.figures.get(base));
  }

  draw() {
    for (const figure of this.stale) figure.draw();
    this.stale.clear();
  }
}
