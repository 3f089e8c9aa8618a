"""How large a network, and how long a training, suit so many rows: about an hour on two cores, or less.

Speeds were measured on two idle cores of an EPYC (Zen 1), with tf_efficientnet_lite0."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from training.recipe import Stage

BUDGET_SECONDS = 55 * 60

CACHE_SECONDS = 0.025
"""To decode an image of 224 px and cache what the frozen blocks make of it; as much again if mirrored."""

TRAIN_SECONDS = {4: 0.024, 5: 0.012, 6: 0.004, 7: 0.001}
"""To train what lies above so many frozen blocks, an image of 224 px."""

TEXT_SECONDS = 0.0005
"""To train on a text of TEXT_TOKENS."""

TEXT_TOKENS = 12
NUM_BLOCKS = 7
FEW_ROWS = 1_000
"""Below, no block is thawed."""

FULL_SIDE_PX = 224


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the data. train, val and test are rows; images are distinct files.

    image_sides: the shorter side of some images, in pixels.
    mean_tokens: subwords in a text.
    """

    train: int
    val: int
    test: int
    images: int
    image_sides: Sequence[int] = ()
    has_text: bool
    mean_tokens: float = TEXT_TOKENS
    has_sensors: bool = False
    has_audio: bool = False
    has_transcript: bool = False
    has_labels: bool
    may_mirror: bool = True

    @property
    def rows(self) -> int:
        """All rows."""
        return self.train + self.val + self.test


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What was chosen: the image side, the blocks that stay frozen, mirroring, and the stages in their order."""

    side_px: int
    frozen_blocks: int
    mirror: bool
    is_small: bool
    gallery_items: int
    stages: dict[str, Stage] = field(default_factory=dict)

    @property
    def map_cells(self) -> int:
        """Cells that a side of a cached map has: 1/16 of the pixels, or 1/32 above block 5."""
        return self.side_px // (16 if self.frozen_blocks <= 5 else 32)


def choose_sizes(facts: Facts) -> Sizes:
    """The largest of some sizes that keeps to the budget, or the smallest."""
    for sizes, pace in _ways(facts):
        chosen = replace(sizes, stages=_stages(facts, sizes, pace))
        if estimate_seconds(facts, chosen) <= BUDGET_SECONDS:
            break
    return chosen


def estimate_seconds(facts: Facts, sizes: Sizes) -> float:
    """How long check, train and the report take, on two idle cores; of recordings nothing was measured."""
    scale = (sizes.side_px / FULL_SIDE_PX) ** 2
    above = TRAIN_SECONDS[sizes.frozen_blocks] * scale
    images = min(1.0, facts.images / facts.rows)  # an image a row, at most
    text = TEXT_SECONDS * facts.mean_tokens / TEXT_TOKENS * facts.has_text
    total = facts.images * (0.004 + CACHE_SECONDS * scale * (2 if sizes.mirror else 1))
    each = {"image": above * images, "audio": 0.0, "text": text, "sensors": 0.0001, "fusion": 0.0003}
    each["joint"] = sum(each.values())
    for name, stage in sizes.stages.items():
        total += stage.epochs * (facts.train + facts.val / 3) * each[name]
        total += facts.rows * above / 3 if name == "fusion" else 0
    total += 2 * (facts.val + facts.test) * CACHE_SECONDS * scale * images
    return total + sizes.gallery_items * 1.5 * CACHE_SECONDS * scale * images + 20


def _ways(facts: Facts) -> list[tuple[Sizes, float]]:
    """From the largest that suits the data to the fastest, each with its share of the usual epochs."""
    frozen = 7 if facts.train < FEW_ROWS else 5 if facts.train < 4_000 else 4
    sides = sorted(facts.image_sides) or [FULL_SIDE_PX]
    middle = sides[len(sides) // 2]
    side = 128 if middle <= 100 else 160 if middle <= 180 else FULL_SIDE_PX
    start = Sizes(
        side_px=side,
        frozen_blocks=frozen,
        mirror=facts.may_mirror,
        is_small=facts.train < 500,
        gallery_items=min(3_000, facts.train + facts.val),
    )
    smaller = [
        replace(start, frozen_blocks=5),
        replace(start, frozen_blocks=6),
        replace(start, frozen_blocks=7),
        replace(start, frozen_blocks=7, mirror=False),
        replace(start, frozen_blocks=7, mirror=False, side_px=min(side, 160)),
        replace(start, frozen_blocks=7, mirror=False, side_px=128),
    ]
    ways = [(start, 1.0), (start, 0.6)]
    ways += [(sizes, pace) for sizes in smaller if sizes.frozen_blocks >= frozen for pace in (1.0, 0.6)]
    return [*ways, (smaller[-1], 0.3), (smaller[-1], 0.1)]


def _stages(facts: Facts, sizes: Sizes, pace: float) -> dict[str, Stage]:
    """Stages that suit the rows: some 1,500 steps for images, 600 for texts and for fusion.

    Without labels an encoder has nothing to learn alone, so one joint stage does all.
    """
    small, thaws = sizes.is_small, sizes.frozen_blocks < NUM_BLOCKS
    batch = 32 if small else 64 if facts.train < 2_000 else 128
    thawed = {"backbone_learning_rate": 5e-4, "ema_decay": 0.996} if thaws else {}

    def epochs(steps: int, size: int, least: int, most: int) -> int:
        return max(1, round(pace * min(most, max(least, round(steps * size / max(1, facts.train))))))

    if facts.has_audio and not facts.images:
        return _heard_stages(facts, epochs)
    if not facts.has_labels:
        slow = {"backbone_learning_rate": 2e-4, "ema_decay": 0.996} if thaws else {}
        return {"joint": Stage(epochs=epochs(800, batch, 12, 30), batch_size=batch, learning_rate=1e-3, **slow)}
    stages = {}
    if facts.images:
        stages["image"] = Stage(epochs=epochs(1_500, 32, 5, 20), batch_size=32, learning_rate=1e-3, **thawed)
    if facts.has_text:
        stages["text"] = Stage(epochs=epochs(600, batch, 4, 20), batch_size=batch, learning_rate=3e-3)
    if facts.has_sensors:
        stages["sensors"] = Stage(epochs=epochs(600, batch, 4, 30), batch_size=batch, learning_rate=2e-3)
    if facts.has_audio:
        stages["audio"] = Stage(epochs=epochs(600, 32, 10, 60), batch_size=32, learning_rate=1e-3)
    if small or not facts.images:
        stages["joint"] = Stage(epochs=epochs(400, batch, 4, 30), batch_size=batch, learning_rate=1e-3)
        return stages
    stages["fusion"] = Stage(epochs=epochs(600, batch, 5, 20), batch_size=batch, learning_rate=2e-3)
    gentle = {"backbone_learning_rate": 5e-5} if thaws else {}
    stages["joint"] = Stage(epochs=2, batch_size=64, learning_rate=5e-4, **gentle)
    return stages


def _heard_stages(facts: Facts, epochs: Callable[[int, int, int, int], int]) -> dict[str, Stage]:
    """Of recordings: the ear first, then the heads on what it gives. Transcripts alone are learnt all together."""
    size = min(32, max(2, facts.train // 2))
    if not facts.has_labels:
        return {"joint": Stage(epochs=epochs(1_500, size, 14, 80), batch_size=size, learning_rate=2e-3)}
    steps = 1_500 if facts.has_transcript else 600
    stages = {"audio": Stage(epochs=epochs(steps, size, 14, 80), batch_size=size, learning_rate=1e-3)}
    if facts.has_text:
        stages["text"] = Stage(epochs=epochs(600, size, 4, 20), batch_size=size, learning_rate=3e-3)
    if facts.has_sensors:
        stages["sensors"] = Stage(epochs=epochs(600, size, 4, 30), batch_size=size, learning_rate=2e-3)
    return {**stages, "fusion": Stage(epochs=epochs(400, size, 5, 20), batch_size=size, learning_rate=1e-3)}
