"""Which settings are measured, and which are chosen from given figures."""

from app.doctor.choice import Pair, choose_pair, choose_size, choose_wait_ms
from app.doctor.rounds import MAX_ITEMS, NUM_ROUNDS, largest_that_fits, measure_pairs, measure_sizes, pairs_for
from app.doctor.tuning import default_size
from tests.app.doctor.fake_bench import ONE_BY_TWO, TWO_BY_ONE, FakeBench, quiet, tuned


def test_pairs_use_no_more_than_the_cores() -> None:
    assert pairs_for(1) == [(1, 1)]
    assert pairs_for(2) == [(1, 1), (1, 2), (2, 1)]
    assert pairs_for(6) == [
        (1, 1), (1, 2), (1, 4), (1, 6), (2, 1), (2, 2), (4, 1), (6, 1),
    ]  # fmt: skip
    assert pairs_for(4, accelerator=True) == [(1, 1), (1, 2), (1, 4)]


def test_every_round_measures_every_pair_and_the_order_turns() -> None:
    bench = FakeBench({Pair(1, 1): 60, ONE_BY_TWO: 100, TWO_BY_ONE: 90}, {1: 0.02, 2: 0.01})
    figures = measure_pairs(bench, pairs_for(2), ONE_BY_TWO, quiet)
    assert {pair: len(found) for pair, found in figures.rates.items()} == dict.fromkeys(pairs_for(2), NUM_ROUNDS)
    first, second = bench.calls[:5], bench.calls[5:10]
    assert first == [
        ("rate", (1, 1)), ("rate", (1, 2)), ("rate", (2, 1)), ("alone", 1), ("alone", 2),
    ]  # fmt: skip
    assert second[:3] == first[2::-1]


def test_a_hopeless_pair_is_dropped_after_a_round_but_never_the_default() -> None:
    bench = FakeBench({Pair(1, 1): 49, ONE_BY_TWO: 40, TWO_BY_ONE: 100}, {1: 0.02, 2: 0.01})
    figures = measure_pairs(bench, pairs_for(2), ONE_BY_TWO, quiet)
    assert {pair: len(found) for pair, found in figures.rates.items()} == {
        Pair(1, 1): 1, ONE_BY_TWO: NUM_ROUNDS, TWO_BY_ONE: NUM_ROUNDS,
    }  # fmt: skip


ALONE = {1: [0.020, 0.020, 0.020], 2: [0.012, 0.012, 0.012]}


def test_the_highest_throughput_wins() -> None:
    choice = choose_pair({ONE_BY_TWO: [100, 102, 98], TWO_BY_ONE: [120, 122, 118]}, ALONE, ONE_BY_TWO)
    assert choice.pair == TWO_BY_ONE
    assert choice.reason.startswith("20% more items a second")
    choice = choose_pair({ONE_BY_TWO: [100, 102, 98], TWO_BY_ONE: [80, 82, 78]}, ALONE, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO


def test_within_three_percent_the_quicker_for_one_request_wins() -> None:
    choice = choose_pair({ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [98, 98, 98]}, ALONE, ONE_BY_TWO)
    assert choice.pair == TWO_BY_ONE
    assert "one request is 67% quicker" in choice.reason
    beyond = choose_pair({ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [96, 96, 96]}, ALONE, ONE_BY_TWO)
    assert beyond.pair == ONE_BY_TWO


def test_as_fast_and_as_quick_the_one_with_fewer_threads_wins() -> None:
    default = Pair(1, 8)
    rates = {default: [50, 50, 50], Pair(2, 4): [100, 100, 100], Pair(4, 2): [101, 101, 101]}
    seconds = {1: [0.04] * 3, 2: [0.0201] * 3, 4: [0.02] * 3}
    assert choose_pair(rates, seconds, default).pair == (2, 4)


def test_the_default_stays_where_rounds_differ_by_more_than_the_settings() -> None:
    noisy = {ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [80, 110, 140]}
    choice = choose_pair(noisy, ALONE, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO
    assert "2 x 1 betters the rate by 10%, and rounds differ by 30%: too noisy" in choice.reason
    unsure = {ONE_BY_TWO: [100, 100, 100], TWO_BY_ONE: [20, 100, 180]}  # by 80 %, for requests 67 % quicker
    assert choose_pair(unsure, ALONE, ONE_BY_TWO).pair == ONE_BY_TWO
    alone = {1: [0.02, 0.02, 0.02], 2: [0.01, 0.018, 0.04]}
    choice = choose_pair({ONE_BY_TWO: [100] * 3, TWO_BY_ONE: [100] * 3}, alone, ONE_BY_TWO)
    assert choice.pair == ONE_BY_TWO
    assert "one request's time by 11%, and rounds differ by 75%: too noisy" in choice.reason


def test_a_neighbour_that_slows_whole_rounds_hides_no_difference() -> None:
    rates = {ONE_BY_TWO: [100, 20, 60], TWO_BY_ONE: [120, 24, 72]}  # always 1.2 times
    assert choose_pair(rates, ALONE, ONE_BY_TWO).pair == TWO_BY_ONE


def test_the_smallest_batch_close_to_the_best_rate_is_chosen() -> None:
    rates = {1: [100.0] * 3, 4: [200.0] * 3, 8: [390.0] * 3, 16: [400.0] * 3, 32: [395.0] * 3}
    choice = choose_size(rates, default=4)
    assert (choice.size, choice.gain) == (8, 4.0)
    assert choice.reason.startswith("95% more items a second than the default, 4")


def test_the_default_batch_stays_where_nothing_is_clearly_better() -> None:
    assert choose_size({1: [98, 98], 4: [99, 99], 8: [100, 100]}, default=4).size == 4
    noisy = choose_size({1: [50, 50, 50], 4: [100, 100, 100], 8: [90, 110, 130]}, default=4)
    assert noisy.size == 4
    assert "8 betters the rate by 10%, and rounds differ by 20%: too noisy" in noisy.reason


def test_at_most_half_of_the_largest_batch_that_fits_is_chosen() -> None:
    rates = {size: [100.0 * size] * 3 for size in (1, 2, 4, 8, 16, 32)}
    assert choose_size(rates, default=4, largest=16).size == 8
    assert choose_size(rates, default=4, largest=4).size == 2
    assert choose_size(rates, default=4, largest=1).size == 1


def test_waiting_pays_only_where_batches_give_much_more_than_single_items() -> None:
    assert choose_wait_ms(1.1, 0.014) == 0
    assert choose_wait_ms(8.0, 0.004) == 2.0


def test_the_largest_batch_is_found_by_doubling() -> None:
    def largest(fitting: int) -> int:
        return largest_that_fits(FakeBench({}, {}, fitting=fitting), ONE_BY_TWO, "images", quiet)

    assert [largest(fitting) for fitting in (1, 7, 64, 10**6)] == [1, 4, 64, MAX_ITEMS]


def test_a_size_without_memory_and_all_beyond_it_are_left_out() -> None:
    def batch(_: str, size: int) -> float:
        if size > 8:
            raise MemoryError
        return 100.0

    rates = measure_sizes(FakeBench({}, {}, batch=batch), ONE_BY_TWO, "images", 4, None, quiet)
    assert {size: len(found) for size, found in rates.items()} == dict.fromkeys((1, 2, 4, 8), NUM_ROUNDS)


def test_the_default_sizes_are_those_that_the_settings_allow() -> None:
    assert default_size({"image": 224 * 224, "text": 10}) == 4
    assert default_size({"image": 512 * 512}) == 1
    assert default_size({"text": 10}) == 32
    assert default_size({"text": 100}) == 10


def test_a_card_gets_a_larger_batch_in_pixels_and_tokens_and_a_wait() -> None:
    bench = FakeBench(
        {Pair(1, 1): 500, ONE_BY_TWO: 800},
        {1: 0.005},
        batch=lambda kind, size: 250.0 * min(size, 64 if kind == "images" else 16),
        fitting=256,
    )
    tuning = tuned(bench, accelerator=True)
    assert tuning.batches["images"].largest == 256
    assert tuning.settings == {
        "max_batch_items": 64,
        "max_batch_pixels": 64 * 224 * 224,
        "max_batch_tokens": 640,
        "max_batch_wait_ms": 4.0,  # two workers with 250 single items a second: 8 ms each
    }
