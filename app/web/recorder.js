// The microphone, from one press of a button to the next. Gives a WAV file.

import { toWav } from "./wav.js";

export const MAX_SECONDS = 60;

export class Recorder {
  #media = null;
  #parts = [];
  #timer = 0;

  get running() {
    return this.#media !== null;
  }

  /** Begin; `onSecond` is told how many have gone by, `onEnd` gets the file. Throws an Error that says what to do. */
  async start(onSecond, onEnd) {
    if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
      throw new Error("This browser records only on https pages and on localhost. Open the page there, or drop a file.");
    }
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1 } });
    } catch {
      throw new Error("The microphone cannot be used. Allow it for this page, or drop a file.");
    }
    const media = (this.#media = new MediaRecorder(stream));
    this.#parts = [];
    media.addEventListener("dataavailable", (event) => this.#parts.push(event.data));
    media.addEventListener("stop", async () => {
      clearInterval(this.#timer);
      stream.getTracks().forEach((track) => track.stop());
      this.#media = null;
      const bytes = await new Blob(this.#parts).arrayBuffer();
      onEnd(bytes.byteLength ? await toWav(bytes).catch(() => null) : null);
    });
    media.start();
    let seconds = 0;
    this.#timer = setInterval(() => {
      onSecond(++seconds);
      if (seconds >= MAX_SECONDS) this.stop();
    }, 1000);
  }

  stop() {
    if (this.#media?.state === "recording") this.#media.stop();
  }
}
