"""Where an answer's uncertainty, or an input's distance, becomes a reason not to trust it: validation rows say.

Knows nothing of what is right: a limit says what is unusual for the model, not how often it errs."""

from collections.abc import Mapping

import numpy as np

from models.checkpoint import CheckpointConfig
from models.familiarity import Familiar
from models.trust import Limits, TrustRules
from training.measures.outputs import SubsetOutput

SURE = 0.9
"""A score from here on is no reason to doubt, however unusual: where a model is certain of nearly all rows, the
quantile is rounding noise just below 1, and half precision alone would be doubted."""


def fit_limits(
    rules: TrustRules | None, outputs: Mapping[str, SubsetOutput], config: CheckpointConfig
) -> TrustRules | None:
    """The rules with limits by head and subset, such that at most a share of these rows is beyond each.

    Args:
        rules: of the recipe; None where it has none.
        outputs: of validation rows.
        config: calibrated.
    """
    if rules is None:
        return None

    def counts(head: str) -> bool:
        return not rules.heads or head in rules.heads

    stds: Limits = {}
    scores: Limits = {}
    for subset, output in outputs.items():
        for head, log_variances_n in output.log_variances.items():
            if not counts(head):
                continue
            std, calibration = config.network.targets[head].std, config.calibration
            found = [std * calibration.deviation(head, subset, float(one)) for one in log_variances_n]
            stds.setdefault(head, {})[subset] = _beyond(np.array(found), rules.share)
        for head in filter(counts, config.network.single_label_heads):
            best = [
                float(config.calibration.probabilities(head, subset, logits_C).max())
                for logits_C in output.logits[head]
            ]
            scores.setdefault(head, {})[subset] = min(-_beyond(-np.array(best), rules.share), SURE)
    known = {name: outputs[name].vectors_nD for name in rules.familiar if name in outputs}
    clouds = {
        name: Familiar.fit(vectors_nD)
        for name, vectors_nD in known.items()
        if vectors_nD is not None and len(vectors_nD) > 1
    }
    return rules.model_copy(update={"stds": stds, "scores": scores, "clouds": clouds})


def _beyond(values_n: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    """The least of the values that at most so large a share is above."""
    return float(np.quantile(values_n, 1 - share, method="higher"))
