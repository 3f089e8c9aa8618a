// The answer on the page. Takes what the service said; asks nothing.

import { show, timings } from "./api.js";
import { announce, byId, make, percent, rounded } from "./dom.js";
import { heatMap, scale, shares, words } from "./explanation.js";

const MOST_LABELS = 5;
const LEAST_SCORE = 0.001; // beyond the second, a label with less is not worth its line

export class Results {
  #answer = null;
  #asked = null;

  /** `onItem` is called with an item of the gallery that is to be tried. */
  constructor({ onItem }) {
    this.onItem = onItem;
  }

  /** While the service works: what stands there is of before. */
  wait() {
    byId("answer").classList.add("stale");
    byId("results").setAttribute("aria-busy", "true");
  }

  /** Nothing is to be waited for any more. */
  rest() {
    byId("answer").classList.remove("stale");
    byId("results").removeAttribute("aria-busy");
  }

  clear() {
    this.rest();
    byId("answer").hidden = true;
    byId("empty").hidden = false;
  }

  /** Show a prediction. `asked` has its text, the address of its image, units by channel, and whether an explanation is
   * to follow. */
  predicted(answer, response, ms, asked) {
    this.#answer = answer;
    this.#asked = asked;
    const parts = [
      advice(answer, asked.units),
      make("div", { class: "cards", id: "heads" }, ...this.#heads(answer)),
      make("section", { class: "card", id: "where", hidden: true, "aria-labelledby": "where-title" }),
      this.#matches(answer.matches),
      make("section", { class: "card", "aria-labelledby": "asked-title" }, ...this.#how(response, ms, asked)),
    ];
    byId("answer").replaceChildren(make("div", { id: "texts", class: "cards", hidden: true }), ...parts.filter(Boolean));
    byId("answer").hidden = false;
    byId("empty").hidden = true;
    this.rest();
    if (matchMedia("(max-width: 800px)").matches) byId("results").scrollIntoView(); // or it would come unseen
    const best = Object.entries(answer.classes).map(([head, [first]]) => `${head}: ${first.label}, ${percent(first.score)}`);
    const numbers = Object.entries(answer.values ?? {}).map(([head, one]) => `${head}: ${inWords(one)}`);
    const doubt = byId("advice") ? `${byId("advice").textContent}. ` : "";
    const matches = answer.matches.length ? ` ${answer.matches.length} matches.` : "";
    announce(`Answered in ${Math.round(ms)} milliseconds. ${doubt}${[...best, ...numbers].join("; ")}.${matches}`);
  }

  /** Add a text that was written or heard. */
  wrote(title, text, note) {
    const box = byId("texts");
    if (!box) return;
    box.hidden = false;
    box.append(
      make(
        "section",
        { class: "card" },
        make("h3", {}, title),
        make("p", { class: "said" }, text),
        note ? make("p", { class: "quiet" }, note) : null,
      ),
    );
    announce(`${title}: ${text || "nothing was said"}`);
  }

  /** Add what the answer rests on; null takes the places for it away. */
  explained(explanation) {
    for (const place of document.querySelectorAll(".waiting")) {
      const found = explanation?.[place.dataset.head];
      if (found) place.replaceWith(shares(found, ...this.#said(place.dataset.head)));
      else place.remove();
    }
    const heads = Object.entries(explanation ?? {}).filter(([, found]) => found.image_map || found.tokens);
    if (!heads.length) return;
    const select = make(
      "select",
      { id: "where-head", "aria-label": "What counts for" },
      ...heads.map(([head, { label }]) => make("option", { value: head }, label === undefined ? head : `${head}: ${label}`)),
    );
    const body = make("div", { class: "where" });
    const draw = () => {
      const found = explanation[select.value];
      body.replaceChildren(
        ...[
          found.image_map && this.#asked.imageUrl ? heatMap(found, this.#asked.imageUrl) : null,
          make("div", {}, found.tokens?.length ? words(found, this.#asked.text) : null, scale()),
        ].filter(Boolean),
      );
    };
    select.addEventListener("change", draw);
    draw();
    const title = make("h3", { id: "where-title" }, "What counts");
    const chooser = make("span", { class: "quiet" }, "for ", select);
    byId("where").replaceChildren(make("div", { class: "titled" }, title, chooser), body);
    byId("where").hidden = false;
    announce("The explanation is there.");
  }

  /** Score, unit and deviation of what was said of a head. */
  #said(head) {
    const number = this.#answer.values?.[head];
    return number ? [number.value, number.unit, number.std] : [this.#answer.classes[head][0].score, ""];
  }

  #heads(answer) {
    const waiting = (head) => (this.#asked.explain ? make("div", { class: "waiting", data: { head } }) : null);
    const classes = Object.entries(answer.classes).map(([head, labels]) =>
      make(
        "section",
        { class: "card head" },
        make("h3", {}, head),
        make("ul", { class: "bars" }, ...labels.slice(0, MOST_LABELS).filter(({ score }, place) => place < 2 || score >= LEAST_SCORE).map(bar)),
        waiting(head),
      ),
    );
    const values = Object.entries(answer.values ?? {}).map(([head, one]) =>
      make(
        "section",
        { class: "card head" },
        make("h3", {}, head),
        make("p", { class: "number" }, inWords(one)),
        waiting(head),
      ),
    );
    return [...classes, ...values];
  }

  #matches(matches) {
    if (!matches.length) return null;
    return make(
      "section",
      { class: "card", "aria-labelledby": "matches-title" },
      make("h3", { id: "matches-title" }, "Most like it"),
      make("ul", { class: "matches" }, ...matches.map((match) => this.#match(match))),
    );
  }

  #match(match) {
    const labels = Object.values(match.labels).flat().join(", ");
    const name = match.text || labels || match.id;
    const image = match.image_url ? make("img", { alt: name, loading: "lazy" }) : null;
    if (image) show(image, match.image_url.replace(/image$/, "thumbnail"));
    const audio = match.audio_url ? make("audio", { controls: true, preload: "none" }) : null;
    if (audio) show(audio, match.audio_url);
    const again = match.image_url && this.#asked.knowsImages
      ? make(
          "button",
          { type: "button", "aria-label": `Try this one: ${name}`, on: { click: () => this.onItem(match) } },
          "Try this one",
        )
      : null;
    return make(
      "li",
      {},
      image ? make("div", { class: "picture" }, image) : null,
      make("span", { class: "name" }, name),
      make("span", { class: "cosine" }, `cosine ${match.score.toFixed(3)}`),
      audio,
      again,
    );
  }

  #how(response, ms, asked) {
    const stages = timings(response).map(([stage, took]) => make("span", {}, `${stage} `, make("b", {}, took.toFixed(1))));
    const commands = asked.commands.join("\n\n");
    const command = make("pre", { tabIndex: 0, role: "group", "aria-label": "Command" }, make("code", {}, commands));
    const copy = make("button", { type: "button", id: "copy" }, "Copy");
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(commands);
        copy.textContent = "Copied";
        announce("Copied.");
      } catch {
        getSelection().selectAllChildren(command); // without https there is no clipboard
        announce("Selected. Copy it with the keyboard.");
      }
    });
    return [
      make("div", { class: "titled" }, make("h3", { id: "asked-title" }, "The same by curl"), copy),
      command,
      make("p", { class: "times" }, make("span", {}, "here ", make("b", {}, `${ms.toFixed(0)} ms`)), make("span", {}, "in the service:"), ...stages),
    ];
  }
}

const inWords = ({ value, std, unit }) => `${rounded(value, std)}${unit ? ` ${unit}` : ""}`;

/** Whether to act upon the answer, and why not; null where the model says nothing of that. */
function advice({ trust, out_of_range: ranges }, units) {
  const why = {
    missing: ({ about }) => `It was shown no ${about}, which it needs.`,
    out_of_range: ({ about }) => outOfRange(about, ranges?.[about], units?.[about]),
    unfamiliar: ({ about, value, limit }) =>
      `This ${about} is like none that it was trained on${limit ? `: ${(value / limit).toPrecision(2)} times as far from them as it may be` : ""}.`,
    uncertain: ({ about, value, limit }) =>
      `It is less sure of ${about} than it mostly is${limit ? `: ${value.toPrecision(2)}, where ${limit.toPrecision(2)} is the limit` : ""}.`,
  };
  const reasons = trust
    ? trust.reasons.map((reason) => why[reason.kind]?.(reason) ?? `${reason.kind}: ${reason.about}`)
    : Object.keys(ranges ?? {}).map((about) => why.out_of_range({ about }));
  if (reasons.length) {
    const lines = reasons.map((reason) => make("li", {}, reason));
    return make("section", { class: "card doubt" }, make("h3", { id: "advice" }, "Do not rely on this"), make("ul", {}, ...lines));
  }
  return trust ? make("p", { id: "advice", class: "quiet" }, "Nothing speaks against relying on this") : null;
}

function outOfRange(about, found, unit) {
  if (!found) return `${about} is out of the range that it knows.`;
  const { value, low, high } = found;
  const known = low === null ? `up to ${high}` : high === null ? `from ${low} on` : `${low} to ${high}`;
  return `${about} is ${value}${unit ? ` ${unit}` : ""}, and it knows ${known}.`;
}

function bar({ label, score }) {
  return make(
    "li",
    {},
    make("span", { class: "fill", css: { "--share": score }, "aria-hidden": "true" }),
    make("span", { class: "label" }, label),
    make("span", { class: "score" }, percent(score)),
  );
}
