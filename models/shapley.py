"""How much each of several players adds to what all of them reach together.

Shapley 1953, "A Value for n-Person Games": a player's value is what it adds to those who came before it, on
average over all orders of coming. Exact, over every subset: of few modalities there are few.

# K quantities that are explained at once"""

from collections.abc import Iterable, Mapping
from itertools import combinations
from math import factorial

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Values = Mapping[frozenset[str], Doubles]
"""By subset of the players, the empty one too, (K,): what these reach."""


def subsets(players: Iterable[str]) -> list[frozenset[str]]:
    """Every subset that is not empty, small ones first; the last one is all."""
    names = tuple(players)
    return [frozenset(some) for size in range(1, len(names) + 1) for some in combinations(names, size)]


def contribution(player: str, values: Values) -> Doubles:
    """What `player` adds, (K,). Over all players these sum to values of all less values of none."""
    with_it = [some for some in values if player in some]
    num_players = max(map(len, with_it))
    total = np.zeros_like(values[frozenset()])
    for some in with_it:
        before = len(some) - 1
        orders = factorial(before) * factorial(num_players - len(some)) / factorial(num_players)
        total = total + orders * (values[some] - values[some - {player}])
    return total


def contributions(values: Values) -> dict[str, Doubles]:
    """By player, what each adds."""
    players = frozenset[str]().union(*values)
    return {player: contribution(player, values) for player in players}
