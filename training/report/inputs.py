"""What a card says of the inputs that a version takes: channels of its sensors, and when it is doubted."""

from models.checkpoint import CheckpointConfig
from training.report.markdown import table


def channels_table(config: CheckpointConfig) -> str:
    """Each channel with its unit, its range and the scale of the training rows; empty where there are none."""
    sensors = config.preprocessing.sensors
    if sensors is None:
        return ""
    rows = [
        [
            name,
            channel.unit or "",
            *("none" if bound is None else f"{bound:.4g}" for bound in (channel.low, channel.high)),
            f"{channel.mean:.4g} ± {channel.std:.4g}",
        ]
        for name, channel in sensors.channels.items()
    ]
    steps = "Single readings" if sensors.steps == 1 else f"Windows of {sensors.steps} steps"
    words = f"{steps}. What is out of range is told with the answer."
    return f"{words}\n\n{table(['channel', 'unit', 'from', 'to', 'training rows'], rows)}"


def trust_words(config: CheckpointConfig) -> str:
    """What an answer is judged by; empty where it is not."""
    rules = config.trust
    if rules is None:
        return ""
    needs = f"without {' or '.join(rules.needs)}, " if rules.needs else ""
    heads = f"one of {', '.join(rules.heads)} is" if rules.heads else "a head is"
    strange = f", with {' or '.join(rules.familiar)} like none of those" if rules.familiar else ""
    own = "; ".join(f"{head} ± {limit:.4g}" for head, limit in rules.most_std.items())
    return (
        f"An answer says `trust.ok: false` {needs}with a reading out of range{strange}, or where {heads} less "
        f"sure than it was on all but {rules.share:.1%} of the validation rows of these modalities"
        + (f" (or than {own})" if own else "")
        + "."
    )
