"""What recordings look like to the network, and what was read off them. Outputs and records in, PNG out.

# T features, F bands"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from models.checkpoint import CheckpointConfig
from models.decode_audio import decode_audio
from models.manifest import Record
from models.preprocess.audio import AudioPreprocessor
from models.sample import Sample
from models.spoken_text import normalise_transcript
from training.data.pairs import RECORDING_LIMITS
from training.measures.outputs import SubsetOutput
from training.report.plots import WIDTH_IN, png

NUM_SHOWN = 6  # half of them wrong, where so many are
COLUMNS = 3


def spectrogram_sheet(
    outputs: Mapping[str, SubsetOutput], records: Sequence[Record], config: CheckpointConfig
) -> bytes:
    """PNG: some recordings as features, with what is said and what was read; b"" where there are none."""
    output, audio = outputs.get("audio"), config.preprocessing.audio
    if output is None or audio is None or not len(output.rows):
        return b""
    preprocessor = AudioPreprocessor(audio)
    chosen = _chosen(output, records)
    rows = -(-len(chosen) // COLUMNS)
    figure = Figure(figsize=(WIDTH_IN, 0.4 + 2.3 * rows), layout="constrained")
    panels = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    for panel in panels[len(chosen) :]:
        panel.remove()
    for panel, place in zip(panels, chosen, strict=False):
        record = records[output.rows[place]]
        if record.audio is None:
            continue
        samples_S = decode_audio(record.audio.read_bytes(), rate_hz=audio.rate_hz, limits=RECORDING_LIMITS)
        arrays = preprocessor.prepare(Sample(audio=samples_S))
        if arrays is None:
            continue
        features_TF = arrays["features"]
        panel.imshow(
            features_TF.T,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=-1,
            vmax=1,
            extent=(0, len(features_TF) * audio.hop / audio.rate_hz, 0, audio.num_mels),
        )
        panel.set_title(_title(output, place, record), fontsize=9)
        panel.set_xlabel("seconds", fontsize=8)
        panel.set_ylabel("band", fontsize=8)
        panel.tick_params(labelsize=7)
    return png(figure)


def _title(output: SubsetOutput, place: int, record: Record) -> str:
    if output.transcripts is None or record.transcript is None:
        return ", ".join(record.labels.values()) or record.id
    heard = output.transcripts[place] or "(nothing)"
    return f"said: {record.transcript[:40]}\nheard: {heard[:40]}"


def _chosen(output: SubsetOutput, records: Sequence[Record]) -> list[int]:
    """Places in the output, drawn by a seed: wrong ones first, then right ones."""
    order: list[int] = np.random.default_rng(0).permutation(len(output.rows)).tolist()
    if output.transcripts is None:
        return order[:NUM_SHOWN]
    wrong = [
        place
        for place in order
        if (said := records[output.rows[place]].transcript) is not None
        and normalise_transcript(said) != normalise_transcript(output.transcripts[place])
    ]
    right = [place for place in order if place not in set(wrong)]
    num_wrong = max(min(len(wrong), NUM_SHOWN // 2), NUM_SHOWN - len(right))
    return [*wrong[:num_wrong], *right[: NUM_SHOWN - num_wrong]]
