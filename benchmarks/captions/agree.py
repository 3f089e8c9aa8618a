"""Whether ONNX Runtime and torch write the same greedy text about each image, token for token.

And whether a text is the same when others are written beside it: each of ONNX Runtime's is written again among
eight that join one by one."""

import argparse
from pathlib import Path

from benchmarks.captions.results import checkpoint_of, keep, trained_of
from benchmarks.serving.requests import load_pairs
from models.batch import Example
from models.caption import Writing
from models.captioner import Captioner
from models.checkpoint import read_checkpoint
from models.decode import decode_image
from models.predictor import Predictor, load_predictor
from models.sample import Sample

DESK = 8


def captioner_of(predictor: Predictor) -> Captioner:
    if predictor.captioner is None:
        raise SystemExit(f"{predictor.config.name} writes no texts")
    return predictor.captioner


def alone(captioner: Captioner, examples: list[Example], writing: Writing) -> list[str]:
    """A pass each."""
    return [captioner.caption([example], [writing])[0].text for example in examples]


def beside_others(captioner: Captioner, examples: list[Example], writing: Writing) -> list[str]:
    """One joins at each step, while there is room."""
    writer, waiting = captioner.writer(), list(enumerate(examples))
    pages, texts = {}, [""] * len(examples)
    while waiting or len(writer):
        if waiting and len(writer) < DESK:
            number, example = waiting.pop(0)
            pages[writer.add(example, writing)] = number
        for page, caption in writer.step():
            texts[pages[page]] = caption.text
    return texts


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.captions agree", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="a version's folder; random weights where it is left out")
    parser.add_argument("--images", type=Path, help="folder of JPEG files; product photos where it is left out")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args(arguments)
    version, model = checkpoint_of(options.checkpoint)
    onnx, torch = (load_predictor(read_checkpoint(version), engine=name) for name in ("onnx", "torch"))
    side_px = 224 if onnx.config.preprocessing.image is None else onnx.config.preprocessing.image.side_px
    examples = [
        onnx.prepare(Sample(image=decode_image(pair.image, side_px=side_px)))
        for pair in load_pairs(options.images, options.count)
    ]
    writing = Writing(max_tokens=None if options.checkpoint else 20)
    by_onnx = alone(captioner_of(onnx), examples, writing)
    by_torch = alone(captioner_of(torch), examples, writing)
    joined = beside_others(captioner_of(onnx), examples, writing)

    def share(texts: list[str]) -> float:
        return round(sum(one == other for one, other in zip(by_onnx, texts, strict=True)) / len(texts), 4)

    found = {
        "model": model,
        "images": len(examples),
        "different_texts": len(set(by_onnx)),
        "engines_agree": share(by_torch),
        "beside_others_as_alone": share(joined),
    }
    name = "agree_trained" if options.checkpoint else "agree"
    command = f"agree {trained_of(options)}--count {options.count}"
    keep(name, command, found, libraries=("numpy", "onnxruntime", "torch"))
