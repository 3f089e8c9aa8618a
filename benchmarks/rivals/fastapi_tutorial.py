"""FastAPI as its tutorials write it: the model loaded in the lifespan, and called in the endpoint.

https://fastapi.tiangolo.com/advanced/events/ (an `async def` endpoint that calls the model),
https://fastapi.tiangolo.com/tutorial/request-forms-and-files/ (a file and a field in one form)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, File, Form, UploadFile

from benchmarks.rivals.model import Answer, Model, load_model

ml_models: dict[str, Model] = {}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    ml_models["fashion"] = load_model()
    yield
    ml_models.clear()


app = FastAPI(lifespan=lifespan)


@app.post("/predict")
async def predict(image: Annotated[UploadFile, File()], text: Annotated[str, Form()]) -> Answer:
    model = ml_models["fashion"]
    [answer] = model.predict([model.prepare(await image.read(), text)])
    return answer
