"""A drive to look at: a film (GIF) with its commands, and a map of the way with its speed."""

import io
from collections.abc import Sequence
from itertools import pairwise

from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from training.driving.drive import FRAME_EVERY, Driven
from training.driving.road import HALF_WIDTH
from training.driving.simulator import HOLD_TICKS, TICKS_PER_SECOND

SCALE = 2
"""A frame is shown so many times as large."""

MS_A_FRAME = FRAME_EVERY * HOLD_TICKS * 1000 // TICKS_PER_SECOND  # 80


def film(driven: Driven) -> bytes:
    """An animated GIF at the speed of the simulation, each frame with its command in the corner."""
    frames = []
    for image, word in driven.frames:
        shown = image.resize((image.width * SCALE, image.height * SCALE), Image.Resampling.NEAREST)
        ImageDraw.Draw(shown).text((6, 4), word, fill="white", stroke_width=1, stroke_fill="black")
        frames.append(shown.quantize(64))
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:], duration=MS_A_FRAME, loop=0)
    return buffer.getvalue()


def track_map(driven: Driven) -> bytes:
    """A PNG: the road, the way in the colour of its speed, and where commands were given."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    road = [*driven.road, driven.road[0]]
    axes.plot(*_columns(road), color="0.85", linewidth=7, solid_capstyle="round")
    places = [(step.x, step.y) for step in driven.path]
    pieces = [list(pair) for pair in pairwise(places)]
    way = LineCollection(pieces, cmap="viridis", linewidths=1.5)
    way.set_array([step.speed for step in driven.path[1:]])
    axes.add_collection(way)
    for before, after in pairwise(driven.path):
        if after.word != before.word:
            axes.plot(after.x, after.y, "o", color="black", markersize=3)
            axes.annotate(after.word, (after.x, after.y), (4, 4), textcoords="offset points", fontsize=8)
    figure.colorbar(way, ax=axes, label="units/s")
    axes.set_title(f"Track {driven.seed}: reward {driven.reward:.0f}, expert {driven.expert_reward:.0f}")
    axes.set_aspect("equal")
    axes.margins(x=0.02 + HALF_WIDTH / 400, y=0.02 + HALF_WIDTH / 400)
    axes.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]
