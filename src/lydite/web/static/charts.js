// Draws the figures of a page: each holds its numbers as JSON.
"use strict";

const PREFIXES = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""],
  [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"]];

function si(value, unit) {
  if (value === null || value === undefined) return "";
  if (value === 0) return "0";
  const size = Math.abs(value) * (1 + 1e-9);
  const [scale, prefix] = PREFIXES.find(([scale]) => size >= scale) || PREFIXES[PREFIXES.length - 1];
  const text = String(Number((value / scale).toPrecision(4)));
  return unit ? `${text} ${prefix}${unit}` : `${text}${prefix}`;
}

function colours() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const style = getComputedStyle(document.documentElement);
  return {
    ink: style.getPropertyValue("--ink").trim(),
    line: style.getPropertyValue("--line").trim(),
    series: dark ? ["#7db4f5", "#f0a35e", "#8fd694", "#e58fc4"]
      : ["#0b57b0", "#b4520a", "#1f7a37", "#9c2a74"],
  };
}

function seriesOf(one, colour) {
  const made = { label: one.label, stroke: colour, fill: undefined, spanGaps: true };
  if (one.style === "points") {
    return { ...made, paths: () => null, points: { show: true, size: 5, fill: colour, width: 0 } };
  }
  if (one.style === "bars") {
    return { ...made, fill: colour, paths: uPlot.paths.bars({ size: [0.9, 60] }), points: { show: false } };
  }
  return { ...made, width: 2, points: { show: false } };
}

function axis(label, unit, ink, line) {
  return {
    label, stroke: ink, size: 64, labelSize: 22, grid: { stroke: line, width: 1 },
    ticks: { stroke: line, width: 1 }, space: 60,
    values: (_plot, ticks) => ticks.map((tick) => si(tick, unit)),
  };
}

function key(figure, chart, palette) {
  const list = document.createElement("ul");
  list.className = "key";
  chart.series.forEach((one, number) => {
    const item = document.createElement("li");
    const sign = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    sign.setAttribute("viewBox", "0 0 10 10");
    sign.setAttribute("aria-hidden", "true");
    for (const name of ["width", "height"]) box.setAttribute(name, "10");
    box.setAttribute("fill", palette[number % palette.length]);
    sign.append(box);
    item.append(sign, one.label);
    list.append(item);
  });
  figure.querySelector("figcaption").after(list);
}

// The point nearest to the pointer in pixels, over all series of points.
function nearest(plot, chart) {
  const { left, top } = plot.cursor;
  let best = -1, least = 900;
  chart.series.forEach((one) => {
    one.values.forEach((value, place) => {
      if (value === null) return;
      const dx = plot.valToPos(chart.x[place], "x") - left;
      const dy = plot.valToPos(value, "y") - top;
      if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = place; }
    });
  });
  return best;
}

// Places on the x axis: a dashed line, and a band over the interval.
function mark(plot, marks, colour) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  for (const { x, low, high } of marks) {
    if (low !== null && high !== null) {
      const from = plot.valToPos(low, "x", true), to = plot.valToPos(high, "x", true);
      ctx.globalAlpha = 0.12;
      ctx.fillRect(from, bbox.top, Math.max(to - from, 1), bbox.height);
    }
    const at = plot.valToPos(x, "x", true);
    ctx.globalAlpha = 1;
    ctx.setLineDash([6, 4]);
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

function draw(figure) {
  const chart = JSON.parse(figure.querySelector("script").textContent);
  const place = figure.querySelector(".plot");
  const output = figure.querySelector("output");
  const { ink, line, series } = colours();
  const size = () => ({ width: place.clientWidth, height: Math.min(460, Math.max(260, place.clientWidth * 0.6)) });
  const options = {
    ...size(),
    legend: { show: false },
    cursor: { drag: { x: true, y: true, uni: 20 }, points: { show: false } },
    scales: {
      x: { time: false, distr: chart.xLog ? 3 : 1 },
      y: { distr: chart.yLog ? 3 : 1 },
    },
    axes: [axis(chart.xLabel, chart.xUnit, ink, line), axis(chart.yLabel, chart.yUnit, ink, line)],
    series: [{}, ...chart.series.map((one, number) => seriesOf(one, series[number % series.length]))],
    hooks: {
      draw: [(plot) => mark(plot, chart.marks, ink)],
      setCursor: [(plot) => {
        const at = plot.cursor.left < 0 ? -1 : nearest(plot, chart);
        if (at < 0) return;
        const y = chart.series.map((one) => one.values[at]).find((value) => value !== null);
        const label = chart.labels[at] || "";
        output.textContent = `${si(chart.x[at], chart.xUnit)}, ${si(y, chart.yUnit)}${label ? ": " : ""}${label}`;
      }],
    },
  };
  if (chart.series.length > 1) key(figure, chart, series);
  const plot = new uPlot(options, [chart.x, ...chart.series.map((one) => one.values)], place);
  figure.dataset.drawn = "yes";
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth !== width && place.clientWidth > 0) {
      width = place.clientWidth;
      plot.setSize(size());
    }
  }).observe(place);
}

document.querySelectorAll("figure.chart").forEach(draw);
