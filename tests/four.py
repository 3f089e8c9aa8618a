"""A tiny model of all four modalities, with random weights: pictures, texts, recordings and sensors."""

import functools

from models.checkpoint import Checkpoint
from models.config import AudioPreprocessing, NetworkConfig, Preprocessing, SensorChannel, SensorPreprocessing
from models.config.preprocessing import ImagePreprocessing, TextPreprocessing
from models.sample import Sample
from tests.gauges import readings
from tests.sounds import RATE, spoken
from tests.tiny import SIDE_PX, picture, tiny_network, tiny_recipe, tiny_tokenizer
from training import assemble

CHANNELS = {
    "speed": SensorChannel(unit="m/s", low=0, high=10, mean=5, std=3),
    "turn": SensorChannel(low=-1, high=1, mean=0, std=0.5),
    "wheel": SensorChannel(low=0, mean=100, std=20),
}
KINDS: dict[str, dict[str, object]] = {
    "mlp": {"kind": "mlp", "num_channels": 3, "hidden": 8, "layers": 2},
    "tcn": {"kind": "tcn", "num_channels": 3, "steps": 4, "hidden": 8, "layers": 2},
}
SAMPLES = [
    Sample(image=picture(0), text="a red circle", audio=spoken("a b"), sensors=readings(speed=3, turn=0.2)),
    Sample(sensors=readings(speed=[9, 8, 7], wheel=80)),
    Sample(audio=spoken("b"), sensors=readings(turn=[0.1, None, 0.3, 0.4])),
    Sample(image=picture(1), sensors=readings(speed=1, turn=-0.5, wheel=120)),
    Sample(text="a blue star"),
]


def preprocessing_of(steps: int = 1) -> Preprocessing:
    """What the tiny network's inputs are made by."""
    return Preprocessing(
        image=ImagePreprocessing(side_px=SIDE_PX),
        text=TextPreprocessing(max_tokens=8),
        audio=AudioPreprocessing(rate_hz=RATE, num_mels=16),
        sensors=SensorPreprocessing(steps=steps, channels=CHANNELS),
    )


@functools.cache
def four_checkpoint(kind: str = "mlp", fusion: str = "gated") -> Checkpoint:
    """In memory."""
    values = NetworkConfig.tiny_sensors().model_dump() | {"sensors": KINDS[kind], "fusion": fusion}
    network = tiny_network(NetworkConfig.parse(values, "x"))
    recipe = tiny_recipe().model_copy(
        update={"network": network.config, "preprocessing": preprocessing_of(4 if kind == "tcn" else 1)}
    )
    return assemble.in_memory_checkpoint(network, tiny_tokenizer(), recipe, {})


@functools.cache
def gauge_checkpoint() -> Checkpoint:
    """Of sensors alone, in memory."""
    values = NetworkConfig.tiny_sensors().model_dump()
    values |= {"image": None, "text": None, "audio": None, "transcript": None}
    network = tiny_network(NetworkConfig.parse(values, "x"))
    sensors = Preprocessing(sensors=preprocessing_of().sensors)
    recipe = tiny_recipe().model_copy(update={"network": network.config, "preprocessing": sensors})
    return assemble.in_memory_checkpoint(network, None, recipe, {})
