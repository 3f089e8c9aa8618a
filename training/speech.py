"""What is said in recordings: how it is learnt, and how well it is read off.

# n recordings, T frames, V tokens, L tokens of a transcript"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.ctc import CtcDecoder
from models.errors import ConfigError
from models.nets.encoders import Encoded
from models.nets.network import Network
from training.data.batches import BatchSource
from training.data.pairs import Rows
from training.data.recordings import Spoken
from training.encode import chunks, encode
from training.measures.words import word_error_rate

LANGUAGE_MODEL_STARTS = (b"\\data\\", b"mmap lm http://kheafield.com/code")
"""How ARPA begins, and KenLM's own format."""


def check_language_model(path: Path) -> None:
    """Look at how the file begins; its tokens are the decoder's affair.

    Raises:
        ConfigError: there is none, or it is of another kind.
    """
    if not path.is_file():
        raise ConfigError(f"language_model: there is no file {str(path)!r}. Name another, or none.")
    with path.open("rb") as file:
        start = file.read(4096).lstrip()
    if not start.startswith(LANGUAGE_MODEL_STARTS):
        raise ConfigError(
            f"language_model: {path.name} is neither ARPA nor KenLM's format. Name another, or none."
        )


def transcript_loss(network: Network, encoded: Encoded, spoken: Spoken) -> Tensor | None:
    """CTC's loss (Graves et al. 2006) by token, a mean over the recordings with a transcript; None for none.

    A recording too short for its transcript has no path, and teaches nothing.
    """
    known_n = spoken.known_n
    if encoded.valid_nT is None or not bool(known_n.any()):
        return None
    log_probs_TnV = network.frames(encoded)[known_n].transpose(0, 1)
    # torch divides each loss by its transcript's length, at least 1, and takes the mean.
    return functional.ctc_loss(
        log_probs_TnV,
        spoken.tokens_nL[known_n],
        encoded.valid_nT[known_n].sum(1),
        spoken.lengths_n[known_n],
        zero_infinity=True,
    )


@torch.no_grad()
def transcript_figures(network: Network, source: BatchSource, rows: Rows) -> dict[str, float]:
    """`transcript`: 1 less the word error rate of what is read greedily; nothing where no row has a transcript."""
    head = network.config.transcript
    known = [row for row in rows if source.has["audio"][row] and source.pairs.records[row].transcript is not None]
    if head is None or not known:
        return {}
    decoder = CtcDecoder(head.tokens, 1.0)
    heard: list[str] = []
    for part in chunks(np.array(known, dtype=np.intp)):
        encoded = encode(network, "audio", source.plain(part))
        assert encoded.valid_nT is not None  # noqa: S101 - an encoder of recordings gives frames
        log_probs_nTV, lengths_n = network.frames(encoded).cpu().numpy(), encoded.valid_nT.sum(1).tolist()
        heard += [decoder.decode(own[:length]).text for own, length in zip(log_probs_nTV, lengths_n, strict=True)]
    said = [source.pairs.records[row].transcript or "" for row in known]
    return {"transcript": 1 - word_error_rate(said, heard)}
