"""FastAPI with care: off the event loop, as many inferences at once as there are cores for, no validation twice.

https://fastapi.tiangolo.com/async/ (blocking work belongs in a thread pool), AnyIO's capacity limiters to bound it
(https://anyio.readthedocs.io/en/stable/threads.html), and torch's advice on threads: inter-op parallelism times
intra-op threads must not exceed the cores
(https://docs.pytorch.org/docs/stable/notes/cpu_threading_torchscript_inference.html). Several processes, if asked
for, are uvicorn's (https://fastapi.tiangolo.com/deployment/server-workers/)."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse

from benchmarks.rivals.model import Answer, Model, load_model


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.model = load_model()
    app.state.limiter = CapacityLimiter(int(os.environ["RIVAL_AT_ONCE"]))
    yield


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(
    request: Request, image: Annotated[UploadFile, File()], text: Annotated[str, Form()]
) -> JSONResponse:
    data = await image.read()
    answer = await to_thread.run_sync(
        infer, request.app.state.model, data, text, limiter=request.app.state.limiter
    )
    return JSONResponse(answer)


def infer(model: Model, image: bytes, text: str) -> Answer:
    [answer] = model.predict([model.prepare(image, text)])
    return answer
