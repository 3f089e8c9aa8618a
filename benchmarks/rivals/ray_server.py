"""Ray Serve: replicas that are actors, requests batched by `serve.batch`, HTTP by FastAPI in each replica.

https://docs.ray.io/en/latest/serve/advanced-guides/dyn-req-batch.html (serve.batch),
https://docs.ray.io/en/latest/serve/http-guide.html (FastAPI as the ingress)."""

import os
from typing import Annotated

from fastapi import FastAPI, File, Form, UploadFile
from ray import serve

from benchmarks.rivals.model import Answer, load_model
from models.batch import Example

app = FastAPI()


@serve.deployment(num_replicas=int(os.environ["RIVAL_WORKERS"]), ray_actor_options={"num_cpus": 1})
@serve.ingress(app)
class Fashion:
    def __init__(self) -> None:
        self.model = load_model()

    @serve.batch(max_batch_size=int(os.environ["RIVAL_BATCH"]), batch_wait_timeout_s=0.005)
    async def infer(self, examples: list[Example]) -> list[Answer]:
        return self.model.predict(examples)

    @app.post("/predict")
    async def predict(self, image: Annotated[UploadFile, File()], text: Annotated[str, Form()]) -> Answer:
        answer: Answer = await self.infer(self.model.prepare(await image.read(), text))
        return answer


if __name__ == "__main__":
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["RIVAL_PORT"])})
    serve.run(Fashion.bind(), blocking=True)
