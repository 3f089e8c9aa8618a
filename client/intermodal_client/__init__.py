"""Ask an Intermodal service.

with Client("http://127.0.0.1:8000") as client:
    print(client.predict(image="shoe.jpg", text="running shoe").classes)
"""

from intermodal_client.answers import (
    Classification,
    Embedding,
    Gallery,
    HeadExplanation,
    Item,
    ItemPage,
    LiveResult,
    Match,
    Model,
    Prediction,
    ScoredLabel,
    SearchResult,
    Transcript,
    Word,
)
from intermodal_client.async_client import AsyncClient
from intermodal_client.client import Client
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
    "TooLargeError",
    "Transcript",
    "TransportError",
    "UnauthorizedError",
    "UnavailableError",
    "UnsupportedMediaError",
    "Word",
]
