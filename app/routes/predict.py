"""POST /predict, for the default model, a named one, or one version of it; and many items at once."""

import asyncio
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.body import JSON
from app.call import Call
from app.context import Context, ContextDep
from app.errors import log_failure, problem_of, status_of
from app.openapi import BATCH, PREDICT
from app.payload import PredictRequest, read_batch, read_predict
from app.schemas.common import Problem
from app.schemas.predict import BatchFailure, BatchResponse, BatchSuccess, PredictResponse

router = APIRouter(tags=["predict"])
_predict = APIRouter()


@_predict.post("/predict", openapi_extra=PREDICT)
async def predict(context: ContextDep) -> PredictResponse:
    """Classify an image, a text, or both, and find the items of the gallery that are like them."""
    model = context.model
    request = await context.payload(read_predict)
    async with context.while_connected():
        answer = await context.service.predict(model, request, context.call)
    return PredictResponse.of(
        answer,
        num_labels=request.num_labels,
        coverage=request.coverage,
        request_id=context.request_id,
        root_path=context.root_path,
    )


@router.post("/predict/batch", openapi_extra=BATCH)
async def predict_batch(context: ContextDep) -> BatchResponse:
    """Predict many items; each succeeds or fails for itself."""
    requests = await context.payload(read_batch, accepts=(JSON,))
    # A batch keeps the workers busy without filling the queue for everybody else; let in, it is let in whole.
    pipeline, settings = context.service.pipeline, context.service.settings
    busy = 2 * pipeline.num_workers * settings.max_batch_items
    gate = asyncio.Semaphore(max(1, min(busy, settings.max_queue_items // 4)))
    call = replace(context.call, admitted=True)
    async with context.while_connected():
        answers = await asyncio.gather(*(_one(context, request, call, gate) for request in requests))
    return BatchResponse(results=answers)


async def _one(
    context: Context, request: PredictRequest | Exception, call: Call, gate: asyncio.Semaphore
) -> BatchSuccess | BatchFailure:
    try:
        if isinstance(request, Exception):
            raise request
        async with asyncio.timeout(call.timeout_seconds()), gate, context.service.pipeline.room_for_batches:
            answer = await context.service.predict(context.model, request, call)
        return BatchSuccess.of(
            answer,
            num_labels=request.num_labels,
            coverage=request.coverage,
            request_id=context.request_id,
            root_path=context.root_path,
        )
    except Exception as error:  # it is this item's answer
        status = status_of(error)
        if status == 500:
            log_failure(error, context.request.scope, context.request_id)
        return BatchFailure(status=status, problem=Problem(**problem_of(error, context.request_id)))


async def _named(name: Annotated[str, Path(description="A model's name.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


async def _version(version: Annotated[str, Path(description="A version of the model, from 1.")]) -> None:
    """Document the path's parameter; `Context.model` reads it."""


router.include_router(_predict)
router.include_router(_predict, prefix="/models/{name}", dependencies=[Depends(_named)])
router.include_router(
    _predict, prefix="/models/{name}/versions/{version}", dependencies=[Depends(_named), Depends(_version)]
)
