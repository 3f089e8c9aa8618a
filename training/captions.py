"""Captions: what they are spelt with, how they are learnt, and how well each next subword is known.

# n rows, R texts, T subwords, S tokens that are looked at, W their width, V subwords that can be written"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from models.config import CaptionHead
from models.errors import ManifestError
from models.nets.caption import CaptionDecoder, Memory
from models.nets.encoders import Encoded
from models.nets.network import Network
from models.subwords import Subwords
from training.data.batches import BatchSource
from training.data.encoded_rows import EncodedRows
from training.data.pairs import Pairs, Rows
from training.data.written import IGNORED, Drawn, Written
from training.encode import chunks, encode
from training.optimisation.execution import autocast

Details = dict[str, tuple[Tensor, Tensor]]

MAX_FIGURED_ROWS = 500
SCALE_ROWS = 512  # enough for a mean and a deviation of each channel


def caption_head(head: CaptionHead, pairs: Pairs, tokenizer: Tokenizer) -> CaptionHead:
    """The head with its tokens: the tokenizer's that captions of train have often enough.

    Raises:
        ManifestError: no row of train has a caption.
    """
    if head.tokens:  # those of the version that is started from
        return head
    captions = [text for row in pairs.rows("train") for text in pairs.records[row].captions]
    if not captions:
        raise ManifestError([f"{pairs.path.name}: no row of train has a caption. Fill data.columns.caption."])
    whole = Tokenizer.from_str(tokenizer.to_str())
    whole.no_truncation()
    whole.no_padding()
    counts = Counter(
        token for encoding in whole.encode_batch(captions, add_special_tokens=False) for token in encoding.ids
    )
    special = whole.get_added_tokens_decoder()
    tokens = tuple(sorted(token for token, n in counts.items() if n >= head.min_count and token not in special))
    if not tokens:
        raise ManifestError(
            [f"{pairs.path.name}: no subword of a caption occurs {head.min_count} times. Lower caption.min_count."]
        )
    return head.model_copy(update={"tokens": tokens})


def spell_captions(pairs: Pairs, head: CaptionHead, tokenizer: Tokenizer) -> Written:
    """Every caption of every row as the head's numbers, spelt all at once."""
    spelt = iter(
        Subwords(tokenizer, head.tokens).spell(text for record in pairs.records for text in record.captions)
    )
    return Written([[next(spelt) for _ in record.captions] for record in pairs.records], head.max_tokens)


class DetailRows:
    """What frozen encoders let a caption look at, kept on disk: each row, in each variant of its image."""

    def __init__(self, variants: Sequence[EncodedRows], rows: Rows) -> None:
        """Take the variants, each of the same rows in order."""
        self._variants = variants
        self._place = {int(row): place for place, row in enumerate(rows)}

    def take(self, rows: Rows, source: BatchSource, generator: torch.Generator | None = None) -> Details:
        """Details of these rows, those of one modality together; a variant drawn for all, or the plain one."""
        variant = 0
        if generator is not None:
            variant = int(torch.randint(0, len(self._variants), (), generator=generator))
        places = np.array([self._place[int(row)] for row in rows], dtype=np.intp)
        found = self._variants[variant].take(places, source.device)
        return {name: _pair(part) for name, part in found.items()}


def _pair(encoded: Encoded) -> tuple[Tensor, Tensor]:
    assert encoded.tokens_nTW is not None  # noqa: S101 - details are kept as tokens
    assert encoded.valid_nT is not None  # noqa: S101 - the same
    return encoded.tokens_nTW, encoded.valid_nT


def live_details(network: Network, source: BatchSource, rows: Rows, *, variant: int = 0) -> dict[str, Encoded]:
    """Of the modalities that are looked at, vectors and details by the encoders as they stand, nothing random."""
    head, inputs = network.config.caption, source.plain(rows, variant=variant)
    present_BM = source.present_NM[rows]
    found: dict[str, Encoded] = {
        name: encode(network, name, inputs)
        for name in (() if head is None else head.reads)
        if present_BM[:, source.modalities.index(name)].any()
    }
    details = network.details(found)
    return {name: Encoded(part.vector_nD, *details[name]) for name, part in found.items()}


def ensure_scale(network: Network, source: BatchSource) -> None:
    """Measure what the decoder's tokens are scaled by on training rows, unless that was done."""
    decoder = network.caption
    if decoder is None:
        return
    rows = source.pairs.rows("train")
    for name in decoder.config.reads:
        if not decoder.is_standardised(name):
            some = rows[source.has[name][rows]][:SCALE_ROWS]
            parts = [_pair(live_details(network, source, part)[name]) for part in chunks(some)]
            if parts:
                decoder.standardise(name, torch.cat([values[valid] for values, valid in parts]))


def remember(
    network: Network, source: BatchSource, rows: Rows, details: Mapping[str, tuple[Tensor, Tensor]]
) -> Memory:
    """The memory of these rows; details hold, by modality, those that have it."""
    decoder = _decoder(network)
    present_BM = source.present_NM[rows]
    places: dict[str, Tensor] = {
        name: present_BM[:, source.modalities.index(name)].nonzero()[:, 0] for name in decoder.config.reads
    }
    return decoder.remember(network.spread(details, places, len(rows)))


def caption_loss(
    network: Network,
    source: BatchSource,
    rows: Rows,
    details: Mapping[str, tuple[Tensor, Tensor]],
    drawn: Drawn,
    *,
    smoothing: float,
    precision: str,
) -> tuple[Tensor, int]:
    """Cross-entropy of each next subword, given those before it (teacher forcing): the mean, and of how many."""
    with autocast(precision, source.device):
        logits_mV, targets_m = _logits(network, source, rows, details, drawn)
    if not len(targets_m):
        return logits_mV.float().sum() * 0, 0
    # In fp32: half precision holds no small probability.
    loss = functional.cross_entropy(logits_mV.float(), targets_m, label_smoothing=smoothing)
    return loss, len(targets_m)


def _logits(
    network: Network,
    source: BatchSource,
    rows: Rows,
    details: Mapping[str, tuple[Tensor, Tensor]],
    drawn: Drawn,
) -> tuple[Tensor, Tensor]:
    """Of the m places where something is to be written: logits (m, V) and what that is."""
    decoder = _decoder(network)
    ids_RT, targets_RT, hidden_n = (part.to(source.device) for part in drawn)
    memory = remember(network, source, rows, details)
    if bool(hidden_n.any()):
        memory = memory.hide(hidden_n)
    known_RT = targets_RT != IGNORED
    # Up to the last that counts: half of a step's places are padding, which only attention need meet.
    used_RT = known_RT.flip(1).cumsum(1).flip(1) > 0
    states_uW = decoder.read(ids_RT, memory, used_RT)
    return decoder.scores(states_uW[known_RT[used_RT]]), targets_RT[known_RT]


@torch.no_grad()
def caption_figures(
    network: Network, source: BatchSource, rows: Rows, kept: DetailRows | None = None, *, per_row: int = 5
) -> dict[str, float]:
    """`caption`: the share of subwords that are known as the likeliest, given all before them."""
    if network.caption is None or source.written is None:
        return {}
    rows = rows[source.written.has_N[rows]][:MAX_FIGURED_ROWS]
    hits, count = 0, 0
    for part in chunks(rows):
        if kept is not None:
            details = kept.take(part, source)
        else:
            details = {name: _pair(found) for name, found in live_details(network, source, part).items()}
        logits_mV, targets_m = _logits(network, source, part, details, source.written.first(part, per_row))
        hits += int((logits_mV.argmax(1) == targets_m).sum())
        count += len(targets_m)
    return {"caption": hits / count} if count else {}


def _decoder(network: Network) -> CaptionDecoder:
    if network.caption is None:
        raise ValueError("captions need a network with a caption")
    return network.caption
