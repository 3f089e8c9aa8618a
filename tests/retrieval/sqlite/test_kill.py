"""kill -9 at any moment loses nothing that was answered, and leaves nothing half-written."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from retrieval.gallery import Query
from retrieval.sqlite.store import SqliteStore
from tests.retrieval.sqlite.writer import NUM_WORKERS
from tests.retrieval.store_data import NET, POOL

KILLS = int(os.environ.get("TEST_KILLS", "20"))
State = dict[str, str]


def run_until_killed(folder: Path, run: int, lines: int) -> list[dict]:
    """What the writer said until it was killed, after so many lines."""
    command = [sys.executable, "-m", "tests.retrieval.sqlite.writer", str(folder), str(run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    return [json.loads(line) for line in said if line.endswith("\n")]


def states_of_worker(before: State, worker: int, said: list[dict]) -> list[State]:
    """What the worker's items may be: all that was answered, with or without what it had begun."""
    done = {line["done"] for line in said if "done" in line}
    state = {item_id: text for item_id, text in before.items() if item_id.startswith(f"{worker}-")}
    states = [state]
    for line in said:
        if line.get("worker") == worker:
            left = {item_id: text for item_id, text in state.items() if item_id not in line["delete"]}
            after = {**left, **line["put"]}
            states = [after] if line["begin"] in done else [state, after]
            state = after
    return states


@pytest.mark.slow
def test_a_writer_that_is_killed_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    rng = random.Random(6)
    before: State = {}
    num_done = 0
    for run in range(KILLS):
        said = run_until_killed(tmp_path, run, rng.randrange(120))
        num_done += sum("done" in line for line in said)
        store = SqliteStore(tmp_path)
        gallery = store.open("shop", NET, model="shop")
        assert store.verify("shop") == []
        items = {item.id: item for item in gallery.page(limit=1000)}
        state = {item_id: str(item.text) for item_id, item in items.items()}
        for worker in range(NUM_WORKERS):
            own = {item_id: text for item_id, text in state.items() if item_id.startswith(f"{worker}-")}
            assert own in states_of_worker(before, worker, said)
        for item in items.values():
            assert item.text is not None
            unit_E = POOL[int(item.text.split()[1]) % len(POOL)]
            assert np.allclose(gallery.vector(item.id), unit_E / np.linalg.norm(unit_E))
            assert item.labels == {"n": item.text}
        assert len(gallery.search(POOL[0], Query(top_k=1000))) == len(gallery) == len(state)
        store.close()
        before = state
    assert num_done > 0
