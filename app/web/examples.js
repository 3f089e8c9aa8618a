// Things to click on, from the gallery of the model that is chosen.

import { askJson, show } from "./api.js";
import { byId, make } from "./dom.js";

const NUM_PICTURES = 10;
const NUM_TEXTS = 4;
const PAGE = 200;

/** Fill the examples. `onPicture` gets an item, `onText` a text; `wanted` says whether they still are when they come. */
export async function showExamples(model, { onPicture, onText, wanted }) {
  const section = byId("examples");
  section.hidden = true;
  if (!model.gallery?.num_items) return;
  const { items } = await askJson(`galleries/${encodeURIComponent(model.gallery.name)}/items?limit=${PAGE}`);
  if (!wanted()) return;
  const chosen = shuffled(items);
  const pictures = model.modalities.includes("image") ? chosen.filter((item) => item.image_url).slice(0, NUM_PICTURES) : [];
  const texts = model.modalities.includes("text")
    ? chosen.filter((item) => item.text && item.text.length < 60 && !pictures.includes(item)).slice(0, NUM_TEXTS)
    : [];
  byId("example-images").replaceChildren(...pictures.map((item) => make("li", {}, picture(item, onPicture))));
  byId("example-texts").replaceChildren(
    ...texts.map((item) =>
      make("li", {}, make("button", { type: "button", on: { click: () => onText(item.text) } }, item.text)),
    ),
  );
  section.hidden = !pictures.length && !texts.length;
}

function picture(item, onPicture) {
  const image = make("img", { alt: item.text || item.id, loading: "lazy", width: 62, height: 62 });
  show(image, item.image_url.replace(/image$/, "thumbnail"));
  return make("button", { type: "button", title: item.text || item.id, on: { click: () => onPicture(item) } }, image);
}

function shuffled(items) {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
