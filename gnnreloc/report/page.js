"use strict";
// Heat maps: one pixel of the canvas a cell, scaled up by the browser; lines part query and proposal.
const panels = [...document.querySelectorAll(".panel")].map((panel) => ({
  canvas: panel.querySelector("canvas"),
  least: panel.querySelector(".least"),
  most: panel.querySelector(".most"),
  ramp: panel.querySelector(".ramp"),
  readout: panel.closest("figure").querySelector(".readout"),
  data: JSON.parse(panel.querySelector("script").textContent),
}));
const CELL = 8;

const colour = (name) => {
  const text = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
};
const mix = (from, to, share) => from.map((value, i) => Math.round(value + (to[i] - value) * share));
const css = (rgb) => `rgb(${rgb.join(",")})`;

function draw({ canvas, least, most, ramp, data }) {
  const [absent, positive, negative] = ["--absent", "--positive", "--negative"].map(colour);
  const { values, queries } = data;
  const size = values.length;
  const flat = values.flat();
  const low = flat.reduce((a, b) => Math.min(a, b), 0);
  const largest = flat.reduce((a, b) => Math.max(a, Math.abs(b)), 0) || 1;
  canvas.width = canvas.height = size * CELL;
  const context = canvas.getContext("2d");
  values.forEach((row, i) => row.forEach((value, j) => {
    const full = value < 0 ? negative : positive;
    context.fillStyle = css(mix(absent, full, Math.abs(value) / largest));
    context.fillRect(j * CELL, i * CELL, CELL, CELL);
  }));
  context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
  const middle = queries * CELL - CELL / 8;
  context.fillRect(middle, 0, CELL / 4, size * CELL);
  context.fillRect(0, middle, size * CELL, CELL / 4);
  const stops = low < 0 ? [css(negative), css(absent), css(positive)] : [css(absent), css(positive)];
  ramp.style.background = `linear-gradient(to right, ${stops.join(",")})`;
  least.textContent = low < 0 ? (-largest).toPrecision(2) : "0";
  most.textContent = largest.toPrecision(2);
}

const drawAll = () => panels.forEach(draw);

for (const { canvas, readout, data } of panels) {
  const { values, times, queries, names } = data;
  const said = (node) => `${names[node < queries ? 0 : 1]} at ${times[node].toFixed(2)} s`;
  const tell = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (place, start, length) =>
      Math.min(values.length - 1, Math.max(0, Math.floor(((place - start) / length) * values.length)));
    const [to, from] = [at(event.clientY, box.top, box.height), at(event.clientX, box.left, box.width)];
    const text = `${data.title}: ${said(to)} receives from ${said(from)}: weight ${values[to][from]}`;
    readout.textContent = text;
    canvas.title = text;
  };
  canvas.addEventListener("pointermove", tell);
  canvas.addEventListener("pointerdown", tell);
}

drawAll();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
matchMedia("print").addEventListener("change", drawAll);

// On paper nothing is folded.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => (details.open = true));
});
addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
