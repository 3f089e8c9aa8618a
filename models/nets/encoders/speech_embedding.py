"""Google's speech embedding: log-mel features to a frame that tells spoken phrases apart, whoever says them.

Lin et al. 2020, "Training Keyword Spotters with Limited and Synthesized Speech Data" (arXiv 2002.01322):
convolutions in time and in pitch by turns, trained on recordings of thousands of phrases. Theirs gives 96 numbers
for 76 features (0.76 s), every 8 of them; the last pooling takes every step here, so that a frame comes every 4.

# n recordings, T features, t frames (T / 4), F bands, C channels"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.preprocess.audio import RANGE_DB, SILENT

WIDTH = 96  # numbers of a frame
STEP = 4  # features that a frame stands for
WINDOW = 76  # features that a frame sees
_BEFORE = (WINDOW - STEP) // 2
_AFTER = WINDOW - 1 - _BEFORE  # enough that T features give ceil(T / STEP) frames
_LOUDEST = 11.0  # what theirs has of the loudest band of speech: its power in dB of 16-bit samples, / 10 + 2
_LEAST = -0.4
_SLOPE = 0.2

# Of each block: channels, convolutions, and cells that it is pooled by, in time and in bands.
_BLOCKS = ((24, 3, (2, 2)), (48, 4, (1, 2)), (72, 4, (2, 2)), (96, 4, (1, 2)), (96, 4, (2, 2)))
NUM_CONVOLUTIONS = sum(count for _, count, _ in _BLOCKS)


class SpeechEmbedding(nn.Module):
    """The network as it was published. Nothing of it is trained here."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList()
        before = 1
        for channels, count, _ in _BLOCKS:
            for _ in range(count):
                place = len(self.convolutions)
                # Over both in the first; then over bands, and over time, by turns.
                kernel = (3, 3) if not place else ((3, 1) if place % 2 == 0 else (1, 3))
                self.convolutions.append(nn.Conv2d(before, channels, kernel, padding=(0, kernel[1] // 2)))
                before = channels
        self.last = nn.Conv2d(before, WIDTH, (3, 1), dilation=(2, 1), bias=False)
        # Until weights are loaded: torch's own start shrinks what comes in a hundredfold in twenty layers.
        for name, parameter in self.convolutions.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.kaiming_normal_(parameter, _SLOPE)
        self.requires_grad_(False)

    def forward(self, features_nTF: Tensor) -> Tensor:
        """(n, T, 32) of the loudest band 1 and 80 dB below it -1, silent behind a recording's end → (n, t, 96)."""
        padded_nTF = functional.pad(features_nTF, (0, 0, _BEFORE, _AFTER), value=SILENT)
        cells_nCTF = ((padded_nTF - 1) * (RANGE_DB / 20) + _LOUDEST)[:, None]
        place = 0
        for number, (_, count, pool) in enumerate(_BLOCKS):
            for convolution in self.convolutions[place : place + count]:
                cells_nCTF = functional.leaky_relu(convolution(cells_nCTF), _SLOPE).clamp(min=_LEAST)
            place += count
            final = number == len(_BLOCKS) - 1
            cells_nCTF = functional.max_pool2d(cells_nCTF, pool, (1, pool[1]) if final else pool)
        frames_nCt: Tensor = self.last(cells_nCTF)[:, :, :, 0]
        return frames_nCt.transpose(1, 2)


def num_frames(lengths_n: Tensor) -> Tensor:
    """ceil(length / STEP)."""
    return torch.div(lengths_n + STEP - 1, STEP, rounding_mode="floor")
