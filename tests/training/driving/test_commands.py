import itertools
from random import Random

import pytest

from training.driving.commands import COMMANDS, FOLLOWERS, TICK_STEP, Moment, Spell, judge, schedule

FAST, SLOW, STANDING = Moment(70, 0, 76), Moment(35, 0, 76), Moment(1, 0, 76)


def moment(**changes: float) -> Moment:
    return Moment(speed=40, offset=0, wished=40)._replace(**changes)


@pytest.mark.parametrize(
    ("word", "obeying", "not_obeying"),
    [
        ("go", moment(speed=76, wished=76), moment(speed=90, wished=76)),
        ("go", moment(speed=31, wished=76), moment(speed=30, wished=76)),
        ("stop", moment(speed=2, wished=0), moment(speed=3, wished=0)),
        ("up", moment(speed=80, wished=98), moment(speed=76, wished=98)),
        ("down", moment(speed=40, wished=35), moment(speed=41, wished=35)),
        ("down", moment(speed=14, wished=35), moment(speed=13, wished=35)),
        ("left", moment(offset=1), moment(offset=0.9)),
        ("left", moment(offset=6.6), moment(offset=7)),
        ("right", moment(offset=-1), moment(offset=1)),
    ],
)
def test_what_a_command_asks_for(word: str, obeying: Moment, not_obeying: Moment) -> None:
    assert COMMANDS[word].holds(obeying)
    assert not COMMANDS[word].holds(not_obeying)


def test_a_command_reached_in_the_first_second_and_kept_is_obeyed() -> None:
    verdict = judge(Spell(100, "stop"), [FAST] * 30 + [STANDING] * 100)
    assert verdict is not None
    assert verdict == ("stop", 100, 31, 1.0)
    assert verdict.obeyed


def test_a_command_reached_after_the_first_second_is_not_obeyed() -> None:
    verdict = judge(Spell(100, "stop"), [FAST] * 50 + [STANDING] * 100)
    assert verdict is not None
    assert verdict.reached_ticks is None
    assert not verdict.obeyed


def test_a_command_that_is_not_kept_is_not_obeyed() -> None:
    nine_of_ten = judge(Spell(0, "down"), [SLOW] * 90 + [FAST] * 10)
    less = judge(Spell(0, "down"), [SLOW] * 89 + [FAST] * 11)
    assert nine_of_ten is not None
    assert nine_of_ten.obeyed
    assert less is not None
    assert not less.obeyed


def test_what_comes_two_seconds_after_it_was_reached_does_not_count() -> None:
    verdict = judge(Spell(0, "down"), [SLOW] * 100 + [FAST] * 100)
    assert verdict is not None
    assert verdict.held == 1


def test_a_drive_that_ends_within_the_second_says_nothing() -> None:
    assert judge(Spell(0, "stop"), [STANDING] * 49) is None


def test_schedules_begin_with_go_and_keep_to_what_may_follow() -> None:
    for seed in range(20):
        spells = schedule(Random(seed), 1_000)
        assert spells[0] == Spell(0, "go")
        assert all(after.word in FOLLOWERS[before.word] for before, after in itertools.pairwise(spells))
        assert all(spell.tick % TICK_STEP == 0 for spell in spells)
        assert all(76 <= after.tick - before.tick <= 200 for before, after in itertools.pairwise(spells))
    assert schedule(Random(3), 1_000) == schedule(Random(3), 1_000)
    assert {spell.word for seed in range(20) for spell in schedule(Random(seed), 1_000)} == set(COMMANDS)
