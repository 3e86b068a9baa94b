// Draws a window of a timeline, and asks the server for another one as people move and zoom.
"use strict";

const HUES = [212, 28, 140, 320, 262, 56, 180, 0];

function viewer(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const canvas = figure.querySelector("canvas");
  const output = figure.querySelector("output");
  const context = canvas.getContext("2d");
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const row = Math.max(6, Math.min(22, Math.floor(720 / data.rows.length)));
  const colours = data.categories.map((_, number) =>
    `hsl(${HUES[number % HUES.length]} 60% ${(dark ? 62 : 42) + 8 * (Math.floor(number / HUES.length) % 3)}%)`);
  let { begin, end } = data;
  let asked = 0;
  let waiting = 0;

  async function show() {
    const number = ++asked;
    const pixels = Math.max(1, Math.min(8192, Math.floor(canvas.clientWidth)));
    const answer = await fetch(`${data.bars}&begin=${begin}&end=${end}&pixels=${pixels}`);
    if (!answer.ok) { output.textContent = "The server does not show this window."; return; }
    const bytes = await answer.arrayBuffer();
    if (number !== asked) return;
    const count = data.rows.length * pixels;
    const share = new Float32Array(bytes, 0, count);
    const category = new Int16Array(bytes, 4 * count, count);
    canvas.width = pixels;
    canvas.height = row * data.rows.length;
    canvas.style.height = `${canvas.height}px`;
    for (let line = 0; line < data.rows.length; line++) {
      const bottom = (line + 1) * row - 1;
      for (let x = 0; x < pixels; x++) {
        const at = line * pixels + x;
        if (category[at] < 0 || share[at] <= 0) continue;
        const height = Math.max(1, Math.min(1, share[at]) * (row - 2));
        context.fillStyle = colours[category[at]];
        context.fillRect(x, bottom - height, 1, height);
      }
    }
    figure.dataset.drawn = String(number);
    const address = new URL(location.href);
    address.searchParams.set("begin", String(begin));
    address.searchParams.set("end", String(end));
    history.replaceState(null, "", address);
  }

  function later() {
    clearTimeout(waiting);
    waiting = setTimeout(show, 30);
  }

  function move(first, span) {
    const width = Math.max(1, Math.min(Math.round(span), Math.max(data.makespan, 1)));
    begin = Math.max(0, Math.min(Math.round(first), Math.max(data.makespan, 1) - width));
    end = begin + width;
    later();
  }

  function zoom(factor, at) {
    const span = end - begin;
    move(begin + at * span * (1 - factor), span * factor);
  }

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.3 : 1 / 1.3, event.offsetX / canvas.clientWidth);
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const span = end - begin;
    const actions = {
      "+": () => zoom(1 / 1.5, 0.5), "-": () => zoom(1.5, 0.5), "0": () => move(0, data.makespan),
      ArrowLeft: () => move(begin - span / 5, span), ArrowRight: () => move(begin + span / 5, span),
    };
    if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
  });
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    held = { x: event.offsetX, begin };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointerup", () => { held = null; });
  canvas.addEventListener("pointermove", async (event) => {
    const span = end - begin;
    if (held) { move(held.begin - (event.offsetX - held.x) / canvas.clientWidth * span, span); return; }
    const line = Math.floor(event.offsetY / row);
    const time = Math.round(begin + event.offsetX / canvas.clientWidth * span);
    if (line < 0 || line >= data.rows.length || time < 0) return;
    const answer = await fetch(`${data.slice}&row=${line}&time=${time}`);
    const found = answer.ok ? await answer.json() : {};
    output.textContent = found.name === undefined ? data.rows[line]
      : `${data.rows[line]}: ${found.name} (${found.category}), ${found.length} from ${found.start}`;
  });
  let width = 0;
  new ResizeObserver(() => {
    if (canvas.clientWidth !== width) { width = canvas.clientWidth; later(); }
  }).observe(canvas);
}

document.querySelectorAll("figure.timeline").forEach(viewer);
