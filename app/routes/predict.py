"""POST /predict, for the default model, a named one, or one version of it; and many items at once."""

import asyncio
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Response
from pydantic_core import to_json

from app.body import JSON
from app.call import Call
from app.context import Context, ContextDep
from app.errors import log_failure, problem_of, status_of
from app.openapi import BATCH, PREDICT
from app.payload import PredictRequest, read_batch, read_predict
from app.routes.versions import of_every_version
from app.schemas.predict import BatchResponse, PredictResponse, answer_json
from app.served import Answer

router = APIRouter(tags=["predict"])
_predict = APIRouter()


@_predict.post("/predict", openapi_extra=PREDICT, response_model=PredictResponse)
async def predict(context: ContextDep) -> Response:
    """Classify an image, a text, a recording, or several of these, and find items of the gallery like them."""
    model = context.model
    request = await context.payload(read_predict)
    async with context.while_connected():
        answer = await context.service.predict(model, request, context.call)
    return _json(_described(context, request, answer))


@router.post("/predict/batch", openapi_extra=BATCH, response_model=BatchResponse)
async def predict_batch(context: ContextDep) -> Response:
    """Predict many items; each succeeds or fails for itself."""
    requests = await context.payload(read_batch, accepts=(JSON,))
    # A batch keeps the workers busy without filling the queue for everybody else; let in, it is let in whole.
    pipeline, settings = context.service.pipeline, context.service.settings
    busy = 2 * pipeline.num_workers * settings.max_batch_items
    gate = asyncio.Semaphore(max(1, min(busy, settings.max_queue_items // 4)))
    call = replace(context.call, admitted=True)
    async with context.while_connected():
        answers = await asyncio.gather(*(_one(context, request, call, gate) for request in requests))
    return _json({"results": answers})


async def _one(
    context: Context, request: PredictRequest | Exception, call: Call, gate: asyncio.Semaphore
) -> dict[str, Any]:
    try:
        if isinstance(request, Exception):
            raise request
        async with asyncio.timeout(call.timeout_seconds()), gate, context.service.pipeline.room_for_batches:
            answer = await context.service.predict(context.model, request, call)
        return {"status": 200, **_described(context, request, answer)}
    except Exception as error:  # it is this item's answer
        status = status_of(error)
        if status == 500:
            log_failure(error, context.request.scope, context.request_id)
        return {"status": status, "problem": problem_of(error, context.request_id)}


def _described(context: Context, request: PredictRequest, answer: Answer) -> dict[str, Any]:
    return answer_json(
        answer,
        num_labels=request.num_labels,
        coverage=request.coverage,
        request_id=context.request_id,
        root_path=context.root_path,
    )


def _json(content: dict[str, Any]) -> Response:
    return Response(to_json(content), media_type="application/json")


of_every_version(_predict, router)
