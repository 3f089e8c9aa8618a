"""A text that is written while it is read, as server-sent events."""

import json
import time
from collections.abc import AsyncIterator, Iterator

import anyio
import httpx

from intermodal_client.answers import GeneratedText, TextPiece
from intermodal_client.calls import Call
from intermodal_client.errors import AnswerError, IntermodalError, TransportError, problem_from
from intermodal_client.parsing import build
from intermodal_client.policy import Policy

_CUT = "The text ended before it was done."


class EventReader:
    """Lines of a stream to pieces of the text."""

    def __init__(self) -> None:
        self._name = ""

    def read(self, line: str) -> TextPiece | None:
        """The piece that a line has; None for one without: a comment, a name, the end of an event.

        Raises:
            ProblemError: it tells of one.
        """
        field, _, value = line.partition(": ")
        if not line:
            self._name = ""
        elif field == "event":
            self._name = value
        elif field == "data":
            return self._piece(value)
        return None

    def _piece(self, data: str) -> TextPiece:
        try:
            members = json.loads(data)
        except ValueError:
            raise AnswerError("An event is no JSON. Is this an Intermodal service?") from None
        if self._name == "error":
            raise problem_from(members)
        if self._name == "done":
            return TextPiece(text="", whole=build(GeneratedText, members))
        return build(TextPiece, members)


def stream_text(http: httpx.Client, policy: Policy, call: Call[GeneratedText]) -> Iterator[TextPiece]:
    """Pieces until the whole is there. A refusal is tried again, a text that has begun is not."""
    attempt = 0
    while True:
        begun = False
        error: IntermodalError
        try:
            with http.stream(**policy.options(call)) as answer:
                if begun := answer.is_success:
                    reader = EventReader()
                    for line in answer.iter_lines():
                        if (piece := reader.read(line)) is not None:
                            yield piece
                            if piece.whole is not None:
                                return
                    raise TransportError(_CUT)
                answer.read()
                error, pause = policy.refusal(answer, attempt)
        except httpx.TransportError as fault:
            error, pause = policy.fault(fault, call, policy.max_retries if begun else attempt)
        if pause is None:
            raise error
        time.sleep(pause)
        attempt += 1


async def stream_text_async(
    http: httpx.AsyncClient, policy: Policy, call: Call[GeneratedText]
) -> AsyncIterator[TextPiece]:
    """`stream_text`, awaited."""
    attempt = 0
    while True:
        begun = False
        error: IntermodalError
        try:
            async with http.stream(**policy.options(call)) as answer:
                if begun := answer.is_success:
                    reader = EventReader()
                    async for line in answer.aiter_lines():
                        if (piece := reader.read(line)) is not None:
                            yield piece
                            if piece.whole is not None:
                                return
                    raise TransportError(_CUT)
                await answer.aread()
                error, pause = policy.refusal(answer, attempt)
        except httpx.TransportError as fault:
            error, pause = policy.fault(fault, call, policy.max_retries if begun else attempt)
        if pause is None:
            raise error
        await anyio.sleep(pause)
        attempt += 1
