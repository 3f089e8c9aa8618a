// What the person wants looked at: an image, a text, a recording, readings of sensors. Tells when that changes.

import { byId } from "./dom.js";
import { Recorder } from "./recorder.js";
import { toWav } from "./wav.js";

const KINDS = ["image", "text", "audio", "sensors"];
const READ_BY_THE_SERVICE = /^audio\/(x-)?(wav|wave|vnd\.wave|flac|ogg|mpeg|mp3)$/;

export class Inputs {
  #known = new Set();
  #files = { image: null, audio: null };
  #urls = { image: "", audio: "" };
  #recorder = new Recorder();
  #usual = ""; // readings: the means of the training rows

  /** `onFile` is called when an image or a recording has come; `onFault` with what went wrong, in words. */
  constructor({ onFile, onFault }) {
    this.onFile = onFile;
    this.onFault = onFault;
    for (const kind of ["image", "audio"]) {
      byId(kind).addEventListener("change", () => this.#take(kind, byId(kind).files[0]));
      byId(`clear-${kind}`).addEventListener("click", () => {
        this.set(kind, null);
        byId(kind).focus();
      });
    }
    this.#takeDrops();
    document.addEventListener("paste", (event) => {
      if (event.target.matches?.("textarea, input") && event.clipboardData?.getData("text/plain")) return;
      const file = [...(event.clipboardData?.files ?? [])].find((one) => /^(image|audio)\//.test(one.type));
      if (file) this.#take(file.type.split("/")[0], file);
    });
    byId("record").addEventListener("click", () => this.#record());
    byId("usual").addEventListener("click", () => {
      byId("sensors").value = this.#usual;
      byId("sensors").focus();
    });
  }

  /** Show just the fields of what this model knows. */
  fit(model) {
    this.#known = new Set(model.modalities);
    for (const kind of KINDS) byId(`field-${kind}`).hidden = !this.#known.has(kind);
    const channels = Object.entries(model.sensors?.channels ?? {});
    const means = channels.map(([name, one]) => `${JSON.stringify(name)}: ${Number(one.mean.toPrecision(3))}`);
    this.#usual = `{${means.join(", ")}}`;
    byId("usual").hidden = !channels.length;
    byId("sensors").placeholder = this.#usual;
    const units = channels.map(([name, { unit }]) => (unit ? `${name} (${unit})` : name)).join(", ");
    byId("sensors-hint").textContent = channels.length
      ? `JSON: a number, or a list of them over time, by channel. There are ${units}.`
      : "JSON: a number, or a list of them over time, by channel.";
  }

  /** The fields of a form, in order: name, and a string or a File. */
  fields() {
    const values = {
      image: this.#files.image,
      text: byId("text").value.trim(),
      audio: this.#files.audio,
      sensors: byId("sensors").value.trim(),
    };
    return KINDS.filter((kind) => this.#known.has(kind) && values[kind]).map((kind) => [kind, values[kind]]);
  }

  get text() {
    return byId("text").value.trim();
  }

  /** Where the browser shows the image from; empty without one. */
  get imageUrl() {
    return this.#urls.image;
  }

  clear() {
    for (const kind of ["image", "audio"]) this.set(kind, null);
    for (const kind of ["text", "sensors"]) byId(kind).value = "";
  }

  /** Put an image or a recording in its place, or take it away. */
  set(kind, file) {
    if (this.#urls[kind]) URL.revokeObjectURL(this.#urls[kind]);
    this.#files[kind] = file;
    this.#urls[kind] = file ? URL.createObjectURL(file) : "";
    byId(`clear-${kind}`).hidden = !file;
    byId(kind).value = "";
    byId(`drop-${kind}`).classList.toggle("full", Boolean(file));
    if (kind === "image") {
      byId("preview").hidden = !file;
      byId("image-hint").textContent = file ? "Drop, paste or choose another" : "Drop, paste or choose a picture";
      if (file) byId("preview").src = this.#urls.image;
      byId("preview").alt = file ? `The image to look at: ${file.name}` : "";
    } else {
      byId("player").hidden = !file;
      byId("audio-hint").textContent = file ? `${file.name}: drop or choose another` : "Drop or choose WAV, FLAC, OGG or MP3";
      if (file) byId("player").src = this.#urls.audio;
      else byId("player").removeAttribute("src");
    }
  }

  async #take(kind, file) {
    if (!file) return;
    if (!this.#known.has(kind)) {
      this.onFault(`This model knows no ${kind === "image" ? "images" : "recordings"}. Choose another model above.`);
      return;
    }
    let taken = file;
    if (kind === "audio" && file.type && !READ_BY_THE_SERVICE.test(file.type)) {
      // A phone's own format, say: the browser can play it, and the service could not read it.
      taken = await toWav(await file.arrayBuffer(), "recording.wav").catch(() => file);
    }
    this.set(kind, taken);
    this.onFile();
  }

  /** Anywhere on the page: a file that misses its field would else replace the page. */
  #takeDrops() {
    const light = (on) => document.body.classList.toggle("over", on);
    document.addEventListener("dragover", (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      light(true);
    });
    document.addEventListener("dragleave", (event) => event.relatedTarget ?? light(false));
    document.addEventListener("drop", (event) => {
      const file = event.dataTransfer?.files[0];
      light(false);
      if (!file) return;
      event.preventDefault();
      this.#take(file.type.startsWith("audio/") ? "audio" : "image", file);
    });
  }

  async #record() {
    if (this.#recorder.running) {
      this.#recorder.stop();
      return;
    }
    const button = byId("record");
    const label = byId("record-label");
    try {
      await this.#recorder.start(
        (seconds) => (label.textContent = `Stop (${seconds} s)`),
        (file) => {
          button.setAttribute("aria-pressed", "false");
          label.textContent = "Record";
          if (file) this.#take("audio", file);
          else this.onFault("Nothing was recorded. Hold the recording for a second or longer.");
        },
      );
      button.setAttribute("aria-pressed", "true");
      label.textContent = "Stop";
    } catch (error) {
      this.onFault(error.message);
    }
  }
}
