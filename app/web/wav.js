// Whatever a browser records or plays, to a WAV file of one channel: the service reads WAV, FLAC, OGG and MP3.

export const RATE_HZ = 16000;

/** Bytes of a recording that the browser can play, to a WAV File. */
export async function toWav(bytes, name = "recording.wav") {
  // An offline context decodes at its own rate, so this resamples too.
  const decoded = await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(bytes);
  const channels = Array.from({ length: decoded.numberOfChannels }, (_, number) => decoded.getChannelData(number));
  const mono = channels[0].map((_, at) => channels.reduce((sum, channel) => sum + channel[at], 0) / channels.length);
  return new File([encode(mono, decoded.sampleRate)], name, { type: "audio/wav" });
}

/** Samples between -1 and 1 as 16-bit PCM with its header. */
export function encode(samples, rateHz) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => [...text].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of this part
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, rateHz, true);
  view.setUint32(28, 2 * rateHz, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a sample
  view.setUint16(34, 16, true); // bits a sample
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, at) => {
    const clipped = Math.max(-1, Math.min(1, sample));
    view.setInt16(44 + 2 * at, Math.round(clipped * 32767), true);
  });
  return view.buffer;
}
