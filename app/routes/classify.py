"""POST /classify: an input's score for labels that come with the request."""

from fastapi import APIRouter, Response

from app import strict_json
from app.body import JSON
from app.context import ContextDep
from app.label_payload import read_classify
from app.openapi.capabilities import CLASSIFY
from app.schemas.classify import ClassifyResponse
from app.zero_shot import LabelVectors, classify

router = APIRouter(tags=["classify"])
_KNOWN = "label_vectors"


@router.post("/classify", openapi_extra=CLASSIFY, response_model=ClassifyResponse)
async def classify_labels(context: ContextDep) -> Response:
    """Score an image, text, recording, readings or several against labels that no head was trained for."""
    request = await context.payload(read_classify)
    model = context.service.model(request.model)
    context.note(model)
    state = context.request.app.state
    if not hasattr(state, _KNOWN):
        setattr(state, _KNOWN, LabelVectors())
    async with context.while_connected():
        scored = await classify(
            context.service,
            state.label_vectors,
            model,
            request.inputs,
            request.labels,
            context.call,
            template=request.template,
            temperature=request.temperature,
        )
    found = ClassifyResponse.of(scored, model, context.request_id)
    return Response(strict_json.write(found.model_dump()), media_type=JSON)
