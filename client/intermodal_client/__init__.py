"""Ask an Intermodal service.

with Client("http://127.0.0.1:8000") as client:
    print(client.predict(image="shoe.jpg", text="running shoe").classes)
"""

from intermodal_client.answers import (
    Classification,
    Embedding,
    GeneratedText,
    HeadExplanation,
    Item,
    ItemPage,
    LiveResult,
    Match,
    Prediction,
    ScoredLabel,
    SearchResult,
    TextPiece,
    Transcript,
    Trust,
    Word,
)
from intermodal_client.async_client import AsyncClient
from intermodal_client.client import Client
from intermodal_client.descriptions import Gallery, Model
from intermodal_client.errors import (
    AnswerError,
    BusyError,
    ConflictError,
    DeadlineError,
    IntermodalError,
    InvalidError,
    MalformedError,
    NotFoundError,
    ProblemError,
    TooLargeError,
    TransportError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaError,
)
from intermodal_client.fields import Inputs, ItemChange, ItemFields, PredictFields, SearchFields

__all__ = [
    "AnswerError",
    "AsyncClient",
    "BusyError",
    "Classification",
    "Client",
    "ConflictError",
    "DeadlineError",
    "Embedding",
    "Gallery",
    "GeneratedText",
    "HeadExplanation",
    "Inputs",
    "IntermodalError",
    "InvalidError",
    "Item",
    "ItemChange",
    "ItemFields",
    "ItemPage",
    "LiveResult",
    "MalformedError",
    "Match",
    "Model",
    "NotFoundError",
    "PredictFields",
    "Prediction",
    "ProblemError",
    "ScoredLabel",
    "SearchFields",
    "SearchResult",
    "TextPiece",
    "TooLargeError",
    "Transcript",
    "TransportError",
    "Trust",
    "UnauthorizedError",
    "UnavailableError",
    "UnsupportedMediaError",
    "Word",
]
