"""Rows to train, val and test: what the manifest says, and the rest carved by group, so that nothing leaks."""

import hashlib
from collections.abc import Mapping, Sequence

from models.manifest import SPLITS, Record


def carve_splits(
    records: Sequence[Record], keys: Mapping[str, Sequence[str]], *, seed: int, val: float, test: float
) -> list[str]:
    """A split for each record, in order. A split that the manifest lacks is carved from train, by group.

    Rows that share a group cell, or a key (say, the hash of an equal image), are one group. A group that the
    manifest itself spreads over several splits goes whole to the last of train, val, test that it is in. The
    hash takes nothing but the seed and the group, so a row keeps its split when others come or go.

    Args:
        records: the rows.
        keys: further group keys by record id.
        seed: another seed carves other groups.
        val: share of the groups to carve for validation, 0 to 1, where no row says val.
        test: the same for test.
    """
    leaders = _group_leaders(records, keys)
    given: dict[str, str] = {}
    for record, leader in zip(records, leaders, strict=True):
        if record.split is not None:
            given[leader] = max(given.get(leader, "train"), record.split, key=SPLITS.index)
    test_share = 0.0 if "test" in given.values() else test
    val_share = 0.0 if "val" in given.values() else val

    def carve(leader: str) -> str:
        if given.get(leader, "train") != "train":
            return given[leader]
        draw = _uniform(f"{seed}:{leader}")
        return "test" if draw < test_share else "val" if draw < test_share + val_share else "train"

    return [carve(leader) for leader in leaders]


def _group_leaders(records: Sequence[Record], keys: Mapping[str, Sequence[str]]) -> list[str]:
    """The name of each record's group: the smallest of the names that its members share (union-find)."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    firsts: list[str] = []
    for record in records:
        names = [*record.groups, *keys.get(record.id, ())] or [f"id={record.id}"]
        leader, *others = sorted(map(find, names))
        for other in others:
            parent[other] = leader
        firsts.append(names[0])
    return [find(name) for name in firsts]


def _uniform(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
