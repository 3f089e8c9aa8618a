"""What a network is made of and how its inputs are prepared: the part of a checkpoint that a person can read.

The same objects build the network (`models.nets.network`), prepare its inputs (`models.preprocess`) and are
stored in `config.json`."""

from models.config.audio_encoders import (
    AudioEncoder,
    ConformerAudioEncoder,
    ConvRecurrentAudioEncoder,
    SpeechEmbeddingAudioEncoder,
)
from models.config.base import Config
from models.config.encoders import (
    ConvolutionalTextEncoder,
    ImageEncoder,
    MiniLmTextEncoder,
    RecurrentTextEncoder,
    TextEncoder,
    TransformerTextEncoder,
)
from models.config.heads import WORD_START, CaptionHead, ClassificationHead, CtcHead, EmbeddingHead, RegressionHead
from models.config.network import MODALITIES, FusionName, NetworkConfig
from models.config.preprocessing import (
    AudioPreprocessing,
    ImagePreprocessing,
    Preprocessing,
    SensorChannel,
    SensorPreprocessing,
    TextPreprocessing,
)
from models.config.sensor_encoders import MlpSensorEncoder, SensorEncoder, TemporalConvSensorEncoder

__all__ = [
    "MODALITIES",
    "WORD_START",
    "AudioEncoder",
    "AudioPreprocessing",
    "CaptionHead",
    "ClassificationHead",
    "Config",
    "ConformerAudioEncoder",
    "ConvRecurrentAudioEncoder",
    "ConvolutionalTextEncoder",
    "CtcHead",
    "EmbeddingHead",
    "FusionName",
    "ImageEncoder",
    "ImagePreprocessing",
    "MiniLmTextEncoder",
    "MlpSensorEncoder",
    "NetworkConfig",
    "Preprocessing",
    "RecurrentTextEncoder",
    "RegressionHead",
    "SensorChannel",
    "SensorEncoder",
    "SensorPreprocessing",
    "SpeechEmbeddingAudioEncoder",
    "TemporalConvSensorEncoder",
    "TextEncoder",
    "TextPreprocessing",
    "TransformerTextEncoder",
]
