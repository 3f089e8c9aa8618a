"""LitServe: one LitAPI, batching on.

https://lightning.ai/docs/litserve/features/batching (max_batch_size, batch_timeout; `predict` takes the batch),
https://lightning.ai/docs/litserve/features/multiple-workers (workers_per_device),
https://lightning.ai/docs/litserve/api-reference/litserver (fast_queue: ZeroMQ between the processes),
https://github.com/Lightning-AI/LitServe/issues/272 (files and fields of a form, by their names)."""

import os
from collections.abc import Sequence

import litserve as ls
from fastapi import Request

from benchmarks.rivals.model import Answer, load_model
from models.batch import Example


class FashionAPI(ls.LitAPI):
    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        self.model = load_model()

    def decode_request(self, request: Request) -> Example:
        return self.model.prepare(request["image"].file.read(), request["text"])

    def batch(self, inputs: Sequence[Example]) -> Sequence[Example]:
        return inputs  # the model collates by itself

    def predict(self, x: Sequence[Example]) -> list[Answer]:
        return self.model.predict(x)

    def unbatch(self, output: list[Answer]) -> list[Answer]:
        return output

    def encode_response(self, output: Answer) -> Answer:
        return output


if __name__ == "__main__":
    api = FashionAPI(max_batch_size=int(os.environ["RIVAL_BATCH"]), batch_timeout=0.005)
    server = ls.LitServer(
        api,
        accelerator="cpu",
        devices=1,
        workers_per_device=int(os.environ["RIVAL_WORKERS"]),
        fast_queue=os.environ["RIVAL_FAST_QUEUE"] == "1",
    )
    server.run(host="127.0.0.1", port=int(os.environ["RIVAL_PORT"]), generate_client_file=False, log_level="info")
