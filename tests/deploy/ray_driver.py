"""Run by the Python that has Ray: deploy, ask, scale, update; prints what was seen as one line of JSON."""

import json
import os
import sys
import threading
import time
import urllib.request
from pathlib import Path

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}

import ray
from ray import serve
from ray.serve.config import HTTPOptions

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
PORT = int(sys.argv[1])
URL = f"http://127.0.0.1:{PORT}"


def ask() -> int:
    body = json.dumps({"text": "blue t-shirt", "num_labels": 1, "top_k": 1}).encode()
    request = urllib.request.Request(URL + "/predict", body, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            json.load(answer)["classes"]["articleType"]
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def num_running() -> int:
    deployments = serve.status().applications["intermodal"].deployments
    return int(deployments["Intermodal"].replica_states.get("RUNNING", 0))


def wait_for(count: int, seconds: float = 90) -> bool:
    end = time.monotonic() + seconds
    while num_running() != count and time.monotonic() < end:
        time.sleep(0.5)
    return num_running() == count


def deploy(**options: object) -> None:
    from deploy.ray.serving import Intermodal

    environment = {"INTERMODAL_GALLERIES": "seed", "INTERMODAL_NUM_WORKERS": "1", "INTERMODAL_MODELS": "fashion"}
    environment |= options.pop("environment", {})  # type: ignore[operator]
    actor = {"num_cpus": 1, "runtime_env": {"env_vars": environment}}
    serve.run(Intermodal.options(ray_actor_options=actor, **options).bind(), name="intermodal", route_prefix="/")


def main() -> dict[str, object]:
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000,
             runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}, "working_dir": None})  # fmt: skip
    serve.start(http_options=HTTPOptions(port=PORT))
    deploy(num_replicas=2)
    seen: dict[str, object] = {"first": ask(), "replicas": num_running()}

    statuses: list[int] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            statuses.append(ask())

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    # Another environment is another version: replicas are replaced one after the other.
    deploy(num_replicas=2, environment={"INTERMODAL_MAX_BATCH_ITEMS": "8"})
    seen["replicas_after_update"] = wait_for(2)
    seen["during_update"] = sorted(set(statuses))
    seen["num_during_update"] = len(statuses)
    scaling = {"min_replicas": 1, "max_replicas": 3, "initial_replicas": 1, "target_ongoing_requests": 1}
    deploy(autoscaling_config=scaling | {"upscale_delay_s": 1, "downscale_delay_s": 600})
    seen["scaled_out"] = wait_for(3)
    stop.set()
    for thread in threads:
        thread.join()
    seen["statuses"] = sorted(set(statuses))
    serve.shutdown()
    ray.shutdown()
    return seen


if __name__ == "__main__":
    print(json.dumps(main()))
