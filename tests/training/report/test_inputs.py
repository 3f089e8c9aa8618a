"""What a card says of sensors, and of when an answer is doubted."""

from models.trust import TrustRules
from tests.four import four_checkpoint
from tests.tiny import tiny_checkpoint
from training.report.inputs import channels_table, trust_words


def test_channels_stand_with_their_ranges() -> None:
    told = channels_table(four_checkpoint().config)
    assert told.startswith("Single readings.")
    assert "| speed | m/s | 0 | 10 | 5 ± 3 |" in told
    assert "| wheel |  | 0 | none | 100 ± 20 |" in told
    assert channels_table(four_checkpoint("tcn").config).startswith("Windows of 4 steps.")


def test_rules_are_said_in_words() -> None:
    config = four_checkpoint().config
    rules = TrustRules(needs=("image", "sensors"), share=0.02, most_std={"steer": 0.25})
    told = trust_words(config.model_copy(update={"trust": rules}))
    assert "without image or sensors, with a reading out of range" in told
    assert "all but 2.0% of the validation rows" in told
    assert told.endswith("(or than steer ± 0.25).")


def test_a_model_without_either_says_nothing() -> None:
    config = tiny_checkpoint().config
    assert (channels_table(config), trust_words(config)) == ("", "")
