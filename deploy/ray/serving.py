"""The same application under Ray Serve: replicas on a cluster, scaled by what is under way, updated in turn.

    serve run deploy.ray.serving:application          # on this machine, to try it
    serve deploy deploy/ray/serve.yaml                # on a cluster, or in a RayService of KubeRay

Each replica is one process with its own engine (docs/decisions/0002). Settings are INTERMODAL_* variables of the
replica's environment. Knows Ray; the application does not."""

import logging

from fastapi import FastAPI
from ray import serve

from app.loading import load_service
from app.main import create_app
from app.service import Service
from app.settings import Settings


@serve.deployment(
    # One inference thread a replica, on one core; serve.yaml may say otherwise.
    ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": {"INTERMODAL_NUM_WORKERS": "1"}}},
    max_ongoing_requests=32,
    health_check_period_s=5,
    # INTERMODAL_SHUTDOWN_TIMEOUT_SECONDS, and the time that threads get to end.
    graceful_shutdown_timeout_s=30,
)
@serve.ingress()
class Intermodal:
    """A replica."""

    def __init__(self) -> None:
        self._service: Service | None = None

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Build the application; its lifespan loads the models, and only then is the replica ready."""
        return create_app(load=self._load)

    async def check_health(self) -> None:
        """Have Ray start this replica anew where only a new process helps; see /health/live."""
        if self._service is not None and self._service.pipeline.beyond_repair:
            raise RuntimeError("too many threads hang in the engine")

    def _load(self, settings: Settings) -> Service:
        self._service = load_service(settings, logging.getLogger("ray.serve").info)
        return self._service


application = Intermodal.bind()
