"""POST /predict, for the default model, a named one, or one version of it; and many items at once."""

from typing import Any

from fastapi import APIRouter, Response

from app import strict_json
from app.body import JSON
from app.call import Call
from app.context import Context, ContextDep
from app.errors import log_failure, problem_of, status_of
from app.openapi.predict import BATCH, PREDICT
from app.payload import PredictRequest, read_batch, read_predict
from app.routes.versions import of_every_version
from app.schemas.predict import BatchResponse, PredictResponse, answer_json
from app.served import Answer
from app.together import together

router = APIRouter(tags=["predict"])
_predict = APIRouter()


@_predict.post("/predict", openapi_extra=PREDICT, response_model=PredictResponse)
async def predict(context: ContextDep) -> Response:
    """Classify an image, text, recording, readings or several, and find items of the gallery like them."""
    model = context.model
    request = await context.payload(read_predict)
    async with context.while_connected():
        answer = await context.service.answering.predict(model, request, context.call)
    return _json(_described(context, request, answer))


@router.post("/predict/batch", openapi_extra=BATCH, response_model=BatchResponse)
async def predict_batch(context: ContextDep) -> Response:
    """Predict many items; each succeeds or fails for itself."""
    requests = await context.payload(read_batch, accepts=(JSON,))

    async def one(request: PredictRequest, call: Call) -> dict[str, Any]:
        answer = await context.service.answering.predict(context.model, request, call)
        return {"status": 200, **_described(context, request, answer)}

    results = await together(context, requests, one)
    return _json({"results": [_failed(context, r) if isinstance(r, Exception) else r for r in results]})


def _failed(context: Context, error: Exception) -> dict[str, Any]:
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
    return Response(strict_json.write(content), media_type="application/json")


of_every_version(_predict, router)
