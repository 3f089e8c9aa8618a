// The page: which model is asked what, and when.

import { ask, askJson, hasKey, pathOf, useKey } from "./api.js";
import { curl } from "./curl.js";
import { announce, byId, make } from "./dom.js";
import { showExamples } from "./examples.js";
import { Inputs } from "./inputs.js";
import { Results } from "./results.js";

const NUM_MATCHES = "8";

let models = [];
let running = null;

const inputs = new Inputs({ onFile: submit, onFault: complain });
const results = new Results({ onItem: (item) => tryItem(item, true) });

const chosen = () => models[byId("model").selectedIndex];

function complain(text) {
  byId("alert").textContent = text;
  byId("alert").hidden = !text;
}

function failed(error) {
  if (error.name === "AbortError") return;
  complain(error.message);
  announce("");
  if (error.status === 401) {
    byId("key-box").open = true;
    byId("key").focus();
  }
}

async function loadModels() {
  try {
    models = (await askJson("models")).models;
  } catch (error) {
    failed(error);
    return;
  }
  complain("");
  const names = models.map((model) => make("option", {}, `${model.name} ${model.version}`));
  byId("model").replaceChildren(...names);
  chooseModel();
}

async function chooseModel() {
  const model = chosen();
  if (!model) return;
  running?.abort();
  results.clear();
  inputs.fit(model);
  const items = model.gallery?.num_items ? `, ${model.gallery.num_items.toLocaleString("en")} items` : "";
  byId("about").textContent = `${model.modalities.join(" + ")}${items}, ${model.engine} on ${model.device}`;
  byId("abilities").replaceChildren(...abilities(model).map((line) => make("li", {}, line)));
  const onText = (text) => {
    byId("text").value = text;
    submit();
  };
  try {
    await showExamples(model, { onPicture: (item) => tryItem(item, false), onText, wanted: () => chosen() === model });
  } catch (error) {
    failed(error);
  }
}

/** What a model does, in a few lines. */
function abilities(model) {
  const heads = Object.entries(model.heads).map(([head, { labels, multi_label: several }]) =>
    `${head}: ${several ? "which" : "one"} of ${labels.length} labels`,
  );
  const numbers = Object.entries(model.values ?? {}).map(([head, { unit }]) => `${head}: a number${unit ? `, in ${unit}` : ""}`);
  return [
    ...heads,
    ...numbers,
    ...(model.transcribes ? ["What is said in a recording"] : []),
    ...(model.generates ? ["A caption of the image"] : []),
    ...(model.gallery?.num_items ? [`The nearest of ${model.gallery.num_items.toLocaleString("en")} items`] : []),
  ];
}

/** Look at an item's picture, and at nothing else. */
async function tryItem(item, fromResults) {
  try {
    const blob = await (await ask(item.image_url)).blob();
    const name = `${item.id.replaceAll(/[^\w-]+/g, "-")}.${blob.type.split("/")[1] ?? "jpg"}`;
    inputs.clear();
    inputs.set("image", new File([blob], name, { type: blob.type }));
    if (fromResults) byId("results").focus();
    await submit();
  } catch (error) {
    failed(error);
  }
}

function form(fields) {
  const body = new FormData();
  for (const [name, value] of fields) body.append(name, value);
  return body;
}

async function submit() {
  const model = chosen();
  const fields = inputs.fields();
  if (!model || !fields.length) {
    complain(`Nothing to look at. Give it at least one of: ${model?.modalities.join(", ") ?? "image, text"}.`);
    return;
  }
  complain("");
  running?.abort();
  const { signal } = (running = new AbortController());
  const explain = byId("explain").checked;
  results.wait();
  byId("go").disabled = true;
  announce("Asking.");
  try {
    await Promise.all([
      predict(model, fields, explain, signal),
      ...beside(model, fields).map((one) => write(model, one, signal)),
    ]);
  } catch (error) {
    failed(error);
  } finally {
    if (running?.signal === signal) {
      results.rest();
      byId("go").disabled = false;
    }
  }
}

let predicted = Promise.resolve();

/** The answer at once, and then what it rests on, which takes longer. */
async function predict(model, fields, explain, signal) {
  const path = pathOf(model, "predict");
  const asked = {
    explain,
    text: inputs.text,
    imageUrl: inputs.imageUrl,
    units: Object.fromEntries(Object.entries(model.sensors?.channels ?? {}).map(([name, { unit }]) => [name, unit])),
    knowsImages: model.modalities.includes("image"),
    commands: [
      [path, [...fields, ["top_k", NUM_MATCHES], ...(explain ? [["explain", "true"]] : [])]],
      ...beside(model, fields).map(({ what, sent }) => [pathOf(model, what), sent]),
    ].map(([where, sent]) => curl(where, sent, { key: hasKey() })),
  };
  const start = performance.now();
  predicted = ask(path, { body: form([...fields, ["top_k", NUM_MATCHES]]), signal }).then(async (response) => {
    results.predicted(await response.json(), response, performance.now() - start, asked);
  });
  await predicted;
  byId("go").disabled = false;
  if (!explain) return;
  try {
    const more = form([...fields, ["num_labels", "1"], ["retrieve", "false"], ["explain", "true"]]);
    results.explained((await askJson(path, { body: more, signal })).explanation);
  } catch (error) {
    results.explained(null);
    throw error;
  }
}

/** What else the model can do with what there is: write down a recording, put an image into words. */
function beside(model, fields) {
  const only = (kind) => fields.filter(([name]) => name === kind);
  return [
    { what: "transcribe", title: "What is said", can: model.transcribes, sent: only("audio") },
    { what: "generate", title: "Caption", can: model.generates, sent: only("image") },
  ].filter(({ can, sent }) => can && sent.length);
}

async function write(model, { what, title, sent }, signal) {
  const found = await askJson(pathOf(model, what), { body: form(sent), signal });
  await predicted;
  const sure = found.confidence === undefined ? "" : `confidence ${found.confidence.toFixed(2)}, `;
  const long = found.duration_seconds === undefined ? "" : `${found.duration_seconds.toFixed(1)} s`;
  results.wrote(title, found.text, sure + long);
}

byId("model").addEventListener("change", chooseModel);
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(byId("key").value);
  byId("key-box").open = false;
  byId("model").focus();
  loadModels();
});
byId("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("ask").addEventListener("reset", (event) => {
  event.preventDefault();
  running?.abort();
  inputs.clear();
  results.clear();
  complain("");
  announce("Cleared.");
});
byId("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  submit();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !byId("key-box").open) return;
  byId("key-box").open = false;
  byId("key-box").querySelector("summary").focus();
});

loadModels();
