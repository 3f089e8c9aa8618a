"""Run by the Python that has Ray: some replicas of one thread each behind Ray Serve's proxy, until SIGTERM."""

import os
import signal
import sys
import threading
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}
sys.path.insert(0, str(Path(__file__).parents[2]))

import ray
from ray import serve
from ray.serve.config import HTTPOptions

from deploy.ray.serving import Intermodal

PORT, NUM_REPLICAS = int(sys.argv[1]), int(sys.argv[2])
ENVIRONMENT = {"INTERMODAL_MODELS": "fashion", "INTERMODAL_GALLERIES": "seed", "INTERMODAL_NUM_WORKERS": "1"}
ENVIRONMENT |= {"INTERMODAL_LOG_LEVEL": "warning"}

done = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: done.set())
ray.init(
    num_cpus=NUM_REPLICAS,
    include_dashboard=False,
    log_to_driver=False,
    object_store_memory=100_000_000,
    runtime_env={"env_vars": {"PYTHONPATH": sys.path[0]}},
)
# As Ray's documentation advises for production: no line of the log for each request.
logging_config = {"log_level": "WARNING", "enable_access_log": False}
serve.start(http_options=HTTPOptions(port=PORT))
replicas = Intermodal.options(
    num_replicas=NUM_REPLICAS,
    ray_actor_options={"num_cpus": 1, "runtime_env": {"env_vars": ENVIRONMENT}},
    logging_config=logging_config,
)
serve.run(replicas.bind(), name="intermodal", route_prefix="/")
done.wait()
serve.shutdown()
ray.shutdown()
