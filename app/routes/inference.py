"""/v2: the Open Inference Protocol, which KServe and Triton speak, for every model (docs/decisions/0032)."""

from collections.abc import Set

from fastapi import APIRouter, Response

from app.call import Call
from app.context import Context, ContextDep
from app.dialects import INFERENCE
from app.errors import NotReadyError
from app.infer_outputs import Needs, Row, chosen, tensor_of
from app.infer_payload import InferRequest, named_row, read_infer
from app.openapi.protocols import INFER, problems
from app.payload import PredictRequest
from app.routes.health import live, ready
from app.routes.versions import of_named_versions
from app.schemas.inference import InferenceProblem, ModelMetadata, ModelState, ServerMetadata, ServerState
from app.served import Model
from app.settings import Settings
from app.tensor_answer import write_answer
from app.tensor_request import HEADER
from app.together import all_or_none
from models.errors import InputError
from models.transcript import GREEDY

router = APIRouter(prefix=INFERENCE, tags=["inference protocol"], responses=problems(InferenceProblem))
_model = APIRouter()


@router.get("")
async def server_metadata() -> ServerMetadata:
    """Name the server and the extensions of the protocol that it speaks."""
    return ServerMetadata.ours()


@router.get("/health/live")
async def server_live(context: ContextDep) -> ServerState:
    """Say whether the process can do anything at all, as /health/live does."""
    await live(context)
    return ServerState(live=True)


@router.get("/health/ready")
async def server_ready(context: ContextDep) -> ServerState:
    """Say whether requests should come here, as /health/ready does."""
    await ready(context)
    return ServerState(ready=True)


@_model.get("")
async def model_metadata(context: ContextDep) -> ModelMetadata:
    """Describe a model's tensors: images, texts, recordings, readings in; scores, labels, vectors, matches out."""
    model = context.model
    return ModelMetadata.of(model, context.service.registry.versions(model.name))


@_model.get("/ready")
async def model_ready(context: ContextDep) -> ModelState:
    """Say whether a model is loaded, and its engine not broken."""
    model, service = context.model, context.service
    if service.draining or not service.started or (model.name, model.version) in service.pipeline.failed:
        raise NotReadyError("The model is not ready now. Ask another replica, or again later.")
    return ModelState(name=model.name, ready=True)


@_model.post("/infer", openapi_extra=INFER)
async def infer(context: ContextDep) -> Response:
    """Answer a batch of items in tensors, as /predict would each of them; one that fails, fails the request."""
    model, header = context.model, context.request.headers.get(HEADER)

    def read(body: bytes, settings: Settings) -> InferRequest:
        return read_infer(body, header, settings)

    request = await context.raw_payload(read)
    outputs = chosen(model, request)
    needs = {output.needs for output in outputs.values()}

    def named(error: InputError, row: int) -> InputError:
        return named_row(error, row, len(request.items))

    rows = await all_or_none(
        context, request.items, lambda item, call: _row(context, model, item, needs, call), named
    )
    head = {"model_name": model.name, "model_version": str(model.version)}
    head |= {} if request.id is None else {"id": request.id}
    body, num_json_bytes = write_answer(head, [tensor_of(*output, rows) for output in outputs.items()])
    if num_json_bytes is None:
        return Response(body, media_type="application/json")
    return Response(body, headers={HEADER: str(num_json_bytes)}, media_type="application/octet-stream")


async def _row(context: Context, model: Model, item: PredictRequest, needs: Set[Needs], call: Call) -> Row:
    """As much of one item as is needed."""
    service, answer, transcript = context.service, None, ""
    if needs - {"transcript"}:
        answer = await service.answering.predict(model, item, call)
    if "transcript" in needs and item.inputs.audio is not None:
        transcript = (await service.answering.transcribe(model, item.inputs, GREEDY, call))[0].text
    return Row(answer, transcript)


of_named_versions(_model, router)
