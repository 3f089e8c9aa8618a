"""What a network is made of and how its inputs are prepared: the part of a checkpoint that a person can read.

The same objects build the network (`models.nets.network`), prepare its inputs (`models.preprocess`) and are
stored in `config.json`."""

from models.config.base import Config
from models.config.encoders import (
    ConvolutionalTextEncoder,
    ImageEncoder,
    MiniLmTextEncoder,
    RecurrentTextEncoder,
    TextEncoder,
    TransformerTextEncoder,
)
from models.config.heads import ClassificationHead, EmbeddingHead, RegressionHead
from models.config.network import MODALITIES, FusionName, NetworkConfig
from models.config.preprocessing import ImagePreprocessing, Preprocessing, TextPreprocessing

__all__ = [
    "MODALITIES",
    "ClassificationHead",
    "Config",
    "ConvolutionalTextEncoder",
    "EmbeddingHead",
    "FusionName",
    "ImageEncoder",
    "ImagePreprocessing",
    "MiniLmTextEncoder",
    "NetworkConfig",
    "Preprocessing",
    "RecurrentTextEncoder",
    "RegressionHead",
    "TextEncoder",
    "TextPreprocessing",
    "TransformerTextEncoder",
]
