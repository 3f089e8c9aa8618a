"""BentoML: a service whose workers are processes, each with the model.

https://docs.bentoml.com/en/latest/build-with-bentoml/parallelize-requests.html (workers),
https://docs.bentoml.com/en/latest/build-with-bentoml/iotypes.html (a file and a field in one form).
Not its adaptive batching: that takes one parameter, and on a CPU a batch saves little."""

import os
from pathlib import Path

import bentoml

from benchmarks.rivals.model import Answer, load_model


@bentoml.service(workers=int(os.environ["RIVAL_WORKERS"]), traffic={"timeout": 60})
class Fashion:
    def __init__(self) -> None:
        self.model = load_model()

    @bentoml.api
    def predict(self, image: Path, text: str) -> Answer:
        [answer] = self.model.predict([self.model.prepare(image.read_bytes(), text)])
        return answer
