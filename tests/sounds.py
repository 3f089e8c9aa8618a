"""Small recordings made of tones: low ones say "a", high ones say "b"."""

import io
import wave
from pathlib import Path
from typing import Any

import numpy as np

from models.config import NetworkConfig
from training.recipe import Recipe

RATE = 8_000
HZ = {"a": 400.0, "b": 2_000.0}


def tone(hz: float, seconds: float = 0.2, level: float = 0.5) -> np.ndarray:
    """(S,) float32, faded in and out."""
    samples = level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)
    return (samples * np.hanning(len(samples))).astype(np.float32)


def spoken(text: str) -> np.ndarray:
    """A tone for each word, and a little silence around each."""
    silence = np.zeros(RATE // 20, np.float32)
    parts = [silence]
    for word in text.split():
        parts += [tone(HZ[word]), silence]
    return np.concatenate(parts)


def wav(samples: np.ndarray, rate_hz: int = RATE) -> bytes:
    """A WAV file of 16 bits."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate_hz)
        writer.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return file.getvalue()


def write_recordings(folder: Path, count: int = 40) -> Path:
    """A manifest of recordings of one word each, by two speakers; of ten, one is val and one test."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    lines = ["recording,word,pitch,speaker,split"]
    for number in range(count):
        word = "ab"[number % 2]
        samples = spoken(word) + 0.003 * rng.standard_normal(len(spoken(word))).astype(np.float32)
        (folder / f"{number}.wav").write_bytes(wav(samples * rng.uniform(0.2, 1)))
        split = {8: "val", 9: "test"}.get(number // 2 % 10, "train")
        lines.append(f"{number}.wav,{word},{'low' if word == 'a' else 'high'},{'xy'[number // 4 % 2]},{split}")
    path = folder / "spoken.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def spoken_recipe(**changes: Any) -> Recipe:
    """A recipe for recordings alone: a label and a transcript."""
    values: dict[str, Any] = {
        "name": "spoken",
        "data": {
            "columns": {
                "audio": "recording",
                "transcript": "word",
                "speaker": "speaker",
                "labels": ["pitch"],
                "split": "split",
            }
        },
        "preprocessing": {"audio": {"rate_hz": RATE, "num_mels": 16}},
        "network": {
            "width": 16,
            "audio": {**NetworkConfig.tiny_audio().model_dump()["audio"], "dropout": 0.0},
            "transcript": {"units": "words"},
            "embedding": {"dimensions": 8},
        },
        "augmentation": {"audio_time_mask": 0.0, "audio_band_mask": 0.0, "audio_tone_db": 0.0},
        "stages": {
            "audio": {"epochs": 60, "batch_size": 8, "learning_rate": 0.02, "ema_decay": 0.9},
            "fusion": {"epochs": 5, "batch_size": 8, "learning_rate": 0.02, "ema_decay": 0.9},
        },
        "gallery": {"max_items": 9},
    }
    return Recipe.model_validate({**values, **changes})
