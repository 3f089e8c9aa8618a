"""A checkpoint of the size that recipes/flickr8k_caption.toml trains, with random weights.

It is as fast, and its texts have as many tokens as are asked for."""

import random
from pathlib import Path

import torch

from models.checkpoint import Checkpoint
from models.config import CaptionHead, ImageEncoder, NetworkConfig, RecurrentTextEncoder
from models.nets.network import Network
from training import assemble
from training.data.tokenizer import train_tokenizer
from training.recipe import Recipe

NUM_SUBWORDS = 3_000
MAX_TOKENS = 64
"""Twice the recipe's, so that a stream lasts long enough to be measured."""


def network_config(num_tokens: int) -> NetworkConfig:
    """The recipe's image encoder and decoder; its text encoder plays no part."""
    return NetworkConfig(
        image=ImageEncoder(
            backbone="tf_efficientnet_lite0", colour_bins=0, hidden=1024, frozen_blocks=7, shortcut=True
        ),
        text=RecurrentTextEncoder(vocab_size=num_tokens, embedding=32, hidden=32),
        width=512,
        fusion="add",
        caption=CaptionHead(
            hidden=256,
            layers=3,
            heads=4,
            feedforward=1024,
            max_tokens=MAX_TOKENS,
            tokens=tuple(range(2, num_tokens)),
        ),
    )


def made() -> Checkpoint:
    """In memory; the same each time."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghiklmnoprstu", k=rng.randint(2, 9))) for _ in range(4_000)]
    tokenizer = train_tokenizer([" ".join(rng.choices(words, k=8)) for _ in range(8_000)], NUM_SUBWORDS)
    torch.manual_seed(0)
    config = network_config(tokenizer.get_vocab_size())
    network = Network(config).eval()
    assert network.caption is not None
    with torch.no_grad():
        network.caption.bias[1] = -1e4  # the end
    recipe = Recipe.model_validate(
        {
            "name": "captions",
            "pretrained": "none",
            "data": {"columns": {"image": "image", "text": "text", "caption": "text"}},
            "preprocessing": {"image": {"side_px": 224}, "text": {"max_tokens": 40}},
            "network": config,
            "stages": {"joint": {"epochs": 1}},
        }
    )
    return assemble.in_memory_checkpoint(network, tokenizer, recipe, {})


def write(folder: Path) -> Path:
    """Write it as `folder`/captions/1."""
    checkpoint, version = made(), folder / "captions/1"
    assemble.write_files(version, checkpoint.contents)
    assemble.seal(version, checkpoint.config)
    return version
