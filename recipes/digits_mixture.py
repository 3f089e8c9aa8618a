"""Make pairs of a written and a spoken digit: `python recipes/digits_mixture.py RECORDINGS OUT_FOLDER`.

Needs scikit-learn (for its 8x8 digits), Pillow and numpy. Each pair is of one digit, and both of its halves are
noisy, so that neither tells all that the two tell together. No picture and no speaker is in two splits."""

import argparse
import csv
import io
import wave
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = {"train": ("george", "nicolas", "theo"), "val": ("yweweler",), "test": ("jackson",)}
PIXEL_NOISE = 0.5  # deviation, where ink is 1 and paper 0
SOUND_DB = 5.0  # by which the recording is louder than its noise
SIDE_PX = 32


def picture(digit_88: np.ndarray, rng: np.random.Generator) -> bytes:
    """The digit with noise, enlarged, as a PNG."""
    noisy = digit_88 / 16 + rng.normal(0, PIXEL_NOISE, digit_88.shape)
    grey = np.clip(255 * (1 - (noisy + 0.5) / 2), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(grey).resize((SIDE_PX, SIDE_PX), Image.Resampling.NEAREST).convert("RGB").save(file, "PNG")
    return file.getvalue()


def recording(path: Path, rng: np.random.Generator) -> bytes:
    """The recording with white noise, as a WAV."""
    with wave.open(str(path)) as file:
        rate, samples = file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)
    level = np.sqrt(np.mean(samples**2)) * 10 ** (-SOUND_DB / 20)
    noisy = samples + rng.normal(0, level, len(samples))
    noisy *= 20_000 / np.abs(noisy).max()
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(noisy.astype("<i2").tobytes())
    return out.getvalue()


def main() -> None:
    """Write pictures, recordings and pairs.csv."""
    from sklearn.datasets import load_digits

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    data, rng = load_digits(), np.random.default_rng(0)
    options.out.mkdir(parents=True, exist_ok=True)
    by_digit = {digit: rng.permutation(np.flatnonzero(data.target == digit)).tolist() for digit in range(10)}
    with (options.out / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "audio", "digit", "speaker", "split"])
        for split, speakers in SPLITS.items():
            for path in sorted(options.recordings.rglob("*.wav")):
                digit, speaker, _ = path.stem.split("_")
                if speaker not in speakers or not by_digit[int(digit)]:
                    continue
                if split == "train" and len(by_digit[int(digit)]) <= 70:  # pictures are kept for the others
                    continue
                row = by_digit[int(digit)].pop()
                (options.out / f"{path.stem}.png").write_bytes(picture(data.images[row], rng))
                (options.out / f"{path.stem}.wav").write_bytes(recording(path, rng))
                writer.writerow([path.stem, f"{path.stem}.png", f"{path.stem}.wav", digit, speaker, split])


if __name__ == "__main__":
    main()
