"""What the service counts, in Prometheus' words.

Labels are bounded: a route's template, never a path; a known method, never a caller's word."""

from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from app.desk import Written
    from app.registry import Registry
    from app.served import Answer, Model
    from app.service import Service

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "WS"})
_STAGE_SECONDS = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_TOTAL_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SCORES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
_BATCH_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each, which nobody reads
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "intermodal_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._total = Histogram(
            "intermodal_request_seconds", "From the request's head to the answer's end.", ("route",),
            buckets=_TOTAL_SECONDS, registry=registry,
        )  # fmt: skip
        self._stages = Histogram(
            "intermodal_stage_seconds", "Time in one stage of a request.", ("stage",),
            buckets=_STAGE_SECONDS, registry=registry,
        )  # fmt: skip
        self._batch = Histogram(
            "intermodal_batch_items", "Items in one forward pass.", buckets=_BATCH_ITEMS, registry=registry
        )
        self._batch_limit = Gauge(
            "intermodal_batch_limit_items", "Items that a pass may have now; fewer after one found no memory.",
            registry=registry,
        )  # fmt: skip
        self._shed = Counter(
            "intermodal_shed",
            "Items refused: too many waited, or for too long (429).",
            registry=registry,
        )
        self._expired = Counter(
            "intermodal_expired", "Items dropped before their turn: past the deadline, or the client had left.",
            ("queue",), registry=registry,
        )  # fmt: skip
        self._stuck = Gauge(
            "intermodal_stuck_threads", "Threads given up that hang.", ("queue",), registry=registry
        )
        self._subsets = Counter(
            "intermodal_answers", "Items answered, by the modalities they had.", ("model", "modalities"),
            registry=registry,
        )  # fmt: skip
        self._confidence = Histogram(
            "intermodal_confidence", "Score of the most probable label.", ("model", "head"),
            buckets=_SCORES, registry=registry,
        )  # fmt: skip
        self._doubts = Counter(
            "intermodal_doubts", "Reasons not to trust an answer, by kind; an answer may have several.",
            ("model", "kind"), registry=registry,
        )  # fmt: skip
        self._queue = Gauge("intermodal_queue_items", "Items that wait.", ("queue",), registry=registry)
        self.in_flight = Gauge("intermodal_requests_in_flight", "Requests being answered.", registry=registry)
        self._streams = Gauge("intermodal_streams", "Live streams that are open.", registry=registry)
        self._tokens = Counter(
            "intermodal_generated_tokens", "Tokens of texts that were written.", ("model",), registry=registry
        )
        self._texts = Counter(
            "intermodal_texts",
            "Texts that were written, by what ended them.",
            ("model", "ended"),
            registry=registry,
        )
        self._first = Histogram(
            "intermodal_first_token_seconds", "From the work's begin to a text's first piece.", ("model",),
            buckets=_STAGE_SECONDS, registry=registry,
        )  # fmt: skip
        self._rows = Gauge("intermodal_generation_rows", "Rows that are being written.", registry=registry)
        self._draining = Gauge("intermodal_draining", "1 from the signal to stop on.", registry=registry)
        self._loads = Counter(
            "intermodal_model_loads", "Versions read while serving, by what became of them.", ("name", "outcome"),
            registry=registry,
        )  # fmt: skip
        self._models = _ModelInfo()
        registry.register(self._models)
        # Looking a series up by its labels takes as long as counting in it, and there are few.
        self._request_of, self._total_of = cache(self._requests.labels), cache(self._total.labels)
        self._stage_of, self._subset_of = cache(self._stages.labels), cache(self._subsets.labels)
        self._confidence_of = cache(self._confidence.labels)

    def watch(self, service: "Service") -> None:
        """Count what `service` does from now on."""
        for name, queue in service.pipeline.queues.items():
            self._queue.labels(name).set_function(queue.num_waiting)
            queue.on_expiry = self._expired.labels(name).inc
            self._stuck.labels(name).set_function(queue.num_stuck)
        self._batch_limit.set_function(service.pipeline.queues["forward"].max_items)
        service.pipeline.queues["forward"].on_batch = self._batch.observe
        service.pipeline.door.on_refusal = self._shed.inc
        generation = service.pipeline.generation
        generation.door.on_refusal = self._shed.inc
        generation.on_written = self._written
        self._rows.set_function(generation.scribes.num_running)
        service.pipeline.on_answer = self._answered
        self._streams.set_function(lambda: service.streams.num_open)
        self._draining.set_function(lambda: float(service.draining))
        service.lifecycle.on_load = lambda name, outcome: self._loads.labels(name, outcome).inc()
        self._models.registry = service.registry

    def answered(self, method: str, route: str, status: int, seconds: float, stages: dict[str, float]) -> None:
        """Count one request, with the seconds of each stage that it went through."""
        self._request_of(method if method in _METHODS else "other", route, str(status)).inc()
        self._total_of(route).observe(seconds)
        for stage, stage_seconds in stages.items():
            self._stage_of(stage).observe(stage_seconds)

    def _answered(self, answer: "Answer") -> None:
        name, prediction = answer.model.name, answer.prediction
        self._subset_of(name, "+".join(prediction.modalities_used)).inc()
        for head, scores_C in prediction.scores.items():
            self._confidence_of(name, head).observe(float(scores_C.max()))
        for doubt in answer.model.predictor.doubts(prediction) or ():
            self._doubts.labels(name, doubt.kind).inc()

    def _written(self, model: "Model", written: "Written", began: float) -> None:
        self._tokens.labels(model.name).inc(written.caption.num_tokens)
        self._texts.labels(model.name, written.caption.finish_reason).inc()
        if written.first is not None:
            self._first.labels(model.name).observe(written.first - began)

    def exposition(self) -> bytes:
        """Everything counted so far, in the text format."""
        return generate_latest(self._registry)


class _ModelInfo(Collector):
    """What is served at the moment of asking, so that no label of a version outlives it."""

    registry: "Registry | None" = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        info = GaugeMetricFamily(
            "intermodal_model_info",
            "1 for each version that is loaded.",
            labels=("name", "version", "engine", "device"),
        )
        for model in self.registry.models if self.registry is not None else ():
            engine = model.predictor.engine
            info.add_metric((model.name, str(model.version), engine.name, engine.device), 1)
        yield info
