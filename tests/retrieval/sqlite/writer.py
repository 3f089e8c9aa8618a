"""Writes into a gallery until it is killed, and says what it begins and what was answered.

    python -m tests.retrieval.sqlite.writer FOLDER RUN

A line of JSON each: {"begin": n, "worker": w, "put": {id: text}, "delete": [id]} and {"done": n}."""

import json
import os
import random
import sys
import threading
from pathlib import Path

from retrieval.sqlite.store import SqliteStore
from retrieval.sqlite.view import SqliteGallery
from tests.retrieval.store_data import NET, entry

NUM_WORKERS = 3


def write(gallery: SqliteGallery, worker: int, run: int) -> None:
    rng = random.Random(f"{run} {worker}")
    for turn in range(10_000):
        number = turn * NUM_WORKERS + worker
        ids = [f"{worker}-{n}" for n in rng.sample(range(40), rng.choice([1, 1, 5, 30]))]
        put = {} if rng.random() < 0.2 else dict.fromkeys(ids, f"{run} {number}")
        delete = [] if put else ids
        say({"begin": number, "worker": worker, "put": put, "delete": delete})
        if put:
            gallery.put([entry(item_id, number, text=text, labels={"n": text}) for item_id, text in put.items()])
        else:
            gallery.delete(delete)
        say({"done": number})


def say(line: dict[str, object]) -> None:
    os.write(sys.stdout.fileno(), (json.dumps(line) + "\n").encode())  # at once, beside other threads' lines


if __name__ == "__main__":
    opened = SqliteStore(Path(sys.argv[1])).open("shop", NET, model="shop")
    for worker in range(NUM_WORKERS):
        threading.Thread(target=write, args=(opened, worker, int(sys.argv[2]))).start()
