// What an answer rests on, in pictures: shares of modalities, a map over the image, weights of words.

import { make, percent, rounded, signed } from "./dom.js";

const LEAST_SCALE = 0.02; // weaker than this, a map is noise, and is shown pale
const NAMES = { image: "image", text: "text", audio: "recording", sensors: "sensors" };

/** A bar of what each modality adds, and the same in words. `score` and `unit` are of what is explained. */
export function shares(found, score, unit, std) {
  const shown = (number) => (found.label === undefined ? signed(number, 3) : `${signed(100 * number)}`);
  const whole = found.label === undefined ? `${rounded(score, std).split(" ")[0]}${unit ? ` ${unit}` : ""}` : percent(score);
  const parts = Object.entries(found.contributions);
  const base = ["base", found.base];
  const total = [base, ...parts].reduce((sum, [, added]) => sum + Math.abs(added), 0) || 1;
  const bar = [base, ...parts].map(([kind, added]) =>
    make("span", {
      class: added < 0 ? "against" : "",
      data: { modality: kind },
      css: { "--share": Math.abs(added) / total },
    }),
  );
  const start = found.label === undefined ? rounded(found.base, std).split(" ")[0] : (100 * found.base).toFixed(1);
  const keys = [
    key("base", `${start} to start with`),
    ...parts.map(([kind, added]) => key(kind, `${NAMES[kind] ?? kind} ${shown(added)}`)),
  ];
  return make(
    "div",
    { class: "because" },
    make("p", { class: "quiet" }, `What makes ${whole}${found.label === undefined ? "" : ` “${found.label}”`}`),
    make("div", { class: "stack", "aria-hidden": "true" }, ...bar),
    make("p", { class: "keys" }, ...keys),
  );
}

function key(kind, words) {
  return make("span", { class: "key", data: { modality: kind } }, words);
}

/** The image, grey, with its map over it. */
export function heatMap(found, imageUrl) {
  const { rows, columns, values, box } = found.image_map;
  const canvas = make("canvas", { width: columns, height: rows, role: "img" });
  canvas.setAttribute("aria-label", `Map over the image: ${strongest(values)}`);
  const style = getComputedStyle(document.documentElement);
  const [forIt, against] = ["--for", "--against"].map((name) => style.getPropertyValue(name).trim().split(/\s+/).map(Number));
  const scale = Math.max(LEAST_SCALE, ...values.flat().map(Math.abs));
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(columns, rows);
  values.flat().forEach((value, place) => {
    const [red, green, blue] = value < 0 ? against : forIt;
    pixels.data.set([red, green, blue, Math.round((215 * Math.abs(value)) / scale)], 4 * place);
  });
  context.putImageData(pixels, 0, 0);
  const [left, top, right, bottom] = box;
  const share = (part) => `${100 * part}%`;
  canvas.style.left = share(left);
  canvas.style.top = share(top);
  canvas.style.width = share(right - left);
  canvas.style.height = share(bottom - top);
  return make("div", { class: "stage" }, make("img", { src: imageUrl, alt: "" }), canvas);
}

/** Where a map is highest, in words. */
function strongest(values) {
  const flat = values.flat();
  const most = Math.max(...flat);
  if (most < LEAST_SCALE) return "no part of it counts for much alone.";
  const [row, column] = [Math.floor(flat.indexOf(most) / values[0].length), flat.indexOf(most) % values[0].length];
  const third = (place, count, names) => names[Math.min(2, Math.floor((3 * place) / count))];
  const down = third(row, values.length, ["top", "middle", "bottom"]);
  const across = third(column, values[0].length, ["left", "centre", "right"]);
  return `what counts most for it is at the ${down} ${across}.`;
}

/** The text, each word on a ground as strong as its weight. */
export function words(found, text) {
  const letters = Array.from(text); // places count code points
  const scale = Math.max(LEAST_SCALE, ...found.tokens.map(({ weight }) => Math.abs(weight)));
  const parts = [];
  let end = 0;
  for (const token of found.tokens) {
    parts.push(letters.slice(end, token.start).join(""));
    const alpha = (Math.abs(token.weight) / scale).toFixed(2);
    const css = { "--tint": `var(${token.weight < 0 ? "--against" : "--for"})`, "--alpha": alpha };
    const weight = signed(found.label === undefined ? token.weight : 100 * token.weight);
    parts.push(make("mark", { css, title: weight }, token.text, make("span", { class: "sr" }, ` (${weight})`)));
    end = token.end;
  }
  parts.push(letters.slice(end).join(""));
  return make("p", { class: "words" }, ...parts);
}

/** What the colours mean. */
export function scale() {
  return make("p", { class: "scale" }, "speaks against", make("i", { "aria-hidden": "true" }), "speaks for it");
}
