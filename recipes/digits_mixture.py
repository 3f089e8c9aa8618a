"""Write pairs of a noisy picture and a noisy recording of the same digit: `… RECORDINGS OUT_FOLDER`.

Needs scikit-learn (`pip install scikit-learn pillow`), whose 1,797 scanned digits of 8 x 8 pixels are the
pictures; the recordings are the Free Spoken Digit Dataset's. Noise makes either alone a poor witness, so that what
a model gains from both is seen. Recordings are split by speaker, and pictures by scan: half of each digit's are
for training, three tenths for the test. In the test split no scan is used twice, as long as there are enough."""

import argparse
import csv
import wave
from pathlib import Path

import numpy as np

SIDE_PX = 32
SCAN_PX = 8
BRIGHTEST = 16  # of a scan's pixels
SHARES = {"train": 0.5, "val": 0.2, "test": 0.3}


def noisy_picture(scan: np.ndarray, deviation: float, rng: np.random.Generator) -> np.ndarray:
    """(32, 32) uint8 of a scan (8, 8) of 0 to 16: noise in each pixel of it, and half as much in each new one."""
    values = scan / BRIGHTEST + rng.normal(0, deviation, scan.shape)
    large = np.kron(values, np.ones((SIDE_PX // SCAN_PX,) * 2))
    large += rng.normal(0, deviation / 2, large.shape)
    # A grey of 0.25 to 0.75 leaves room on both sides, so that clipping does not undo the noise.
    return np.clip(255 * (0.25 + 0.5 * large), 0, 255).astype(np.uint8)


def noisy_recording(samples: np.ndarray, noise_db: float, rng: np.random.Generator) -> np.ndarray:
    """int16 of float samples (S,), with white noise so many dB below their mean power; its peak is at 0.9."""
    deviation = np.sqrt(np.mean(samples**2)) * 10 ** (-noise_db / 20)
    loud = samples + rng.normal(0, deviation, len(samples))
    return (loud / max(np.abs(loud).max(), 1e-9) * 0.9 * 32767).astype("<i2")


def split_scans(digits: np.ndarray, rng: np.random.Generator) -> dict[tuple[str, int], list[int]]:
    """(split, digit) → the numbers of its scans, shuffled; each scan is in one split."""
    found = {}
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(digits == digit)).tolist()
        first, second = (round(share * len(own)) for share in (SHARES["train"], 1 - SHARES["test"]))
        found["train", digit], found["val", digit], found["test", digit] = (
            own[:first],
            own[first:second],
            own[second:],
        )
    return found


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Samples of a WAV of 16 bits, and its rate."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64), file.getframerate()


def write_wav(path: Path, samples: np.ndarray, rate_hz: int) -> None:
    """One channel of 16 bits."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.tobytes())


def write_pairs(options: argparse.Namespace, scans: np.ndarray, digits: np.ndarray) -> list[dict[str, str]]:
    """Write the files; a manifest's rows, one a recording."""
    from PIL import Image

    rng = np.random.default_rng(options.seed)
    of_split = split_scans(digits, rng)
    used: dict[tuple[str, int], int] = {}
    (options.out / "images").mkdir(parents=True, exist_ok=True)
    (options.out / "recordings").mkdir(exist_ok=True)
    rows = []
    for path in sorted(options.recordings.rglob("*.wav")):
        digit, speaker = int(path.stem.split("_")[0]), path.stem.split("_")[1]
        split = {options.test: "test", options.val: "val"}.get(speaker, "train")
        place = used[split, digit] = used.get((split, digit), -1) + 1
        own = of_split[split, digit]
        scan = own[place % len(own)]
        Image.fromarray(noisy_picture(scans[scan], options.image_noise, rng)).save(
            options.out / f"images/{path.stem}.png"
        )
        samples, rate_hz = read_wav(path)
        noisy = noisy_recording(samples, options.sound_db, rng)
        write_wav(options.out / f"recordings/{path.name}", noisy, rate_hz)
        rows.append(
            {
                "id": path.stem,
                "image": f"images/{path.stem}.png",
                "audio": f"recordings/{path.name}",
                "digit": str(digit),
                "scan": str(scan),
                "speaker": speaker,
                "split": split,
            }
        )
    return rows


def main() -> None:
    """Write pictures, recordings and `pairs.csv`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--val", default="jackson", help="the speaker of the validation split")
    parser.add_argument("--test", default="theo", help="the speaker of the test split")
    parser.add_argument("--image-noise", type=float, default=0.4, help="its deviation; ink is 1 and paper 0")
    parser.add_argument("--sound-db", type=float, default=8.0, help="how much louder speech is than the noise")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    from sklearn.datasets import load_digits

    bunch = load_digits()
    rows = write_pairs(options, bunch.images, bunch.target)
    with (options.out / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
