"""mosec: a stage that prepares, a stage that infers in batches; processes for each, joined by its Rust core.

https://mosecorg.github.io/mosec/examples/pytorch.html (a Preprocess and an Inference worker),
https://mosecorg.github.io/mosec/reference/interface.html (num, max_batch_size, max_wait_time),
https://mosecorg.github.io/mosec/examples/msgpack.html (binary requests)."""

import os
from typing import Any

from mosec import Server, Worker
from mosec.mixin import MsgpackMixin

from benchmarks.rivals.model import Answer, load_model, load_preparation
from models.batch import Example


class Preprocess(MsgpackMixin, Worker):
    """Light: it needs the decoder and the tokenizer, not the network."""

    def __init__(self) -> None:
        super().__init__()
        self._preparation = load_preparation()

    def forward(self, data: dict[str, Any]) -> Example:
        return self._preparation.prepare(data["image"], data["text"])


class Inference(Worker):
    """Takes batches; answers in JSON, as the other servers do."""

    def __init__(self) -> None:
        super().__init__()
        self.model = load_model()

    def forward(self, data: list[Example]) -> list[Answer]:
        return self.model.predict(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Preprocess, num=1)
    server.append_worker(
        Inference,
        num=int(os.environ["RIVAL_WORKERS"]),
        max_batch_size=int(os.environ["RIVAL_BATCH"]),
        max_wait_time=5,
    )
    server.run()
