"""What deploy/monitoring/ asks of Prometheus exists, and whoever is called finds what to do."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "grafana" / "dashboards" / "intermodal.json").read_text())
PANELS = DASHBOARD["panels"]
QUERIES = {f"panel {panel['title']}": target["expr"] for panel in PANELS for target in panel["targets"]}
QUERIES |= {f"alert {rule['alert']}": rule["expr"] for rule in RULES}


def known_series() -> set[str]:
    """Every series that /metrics has, and what Prometheus itself adds."""
    names = {"up"}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", Metrics().exposition().decode(), re.MULTILINE):
        names |= {f"{name}{end}" for end in ("_bucket", "_sum", "_count")} if kind == "histogram" else {name}
    return names


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_asks_for_series_that_are_there(name: str) -> None:
    asked = set(re.findall(r"\b(?:(?:intermodal|process)_\w+|up\b)", QUERIES[name]))
    assert asked
    assert asked <= known_series()


def test_every_alert_has_a_chapter_in_the_runbook() -> None:
    lines = (ROOT / "docs/runbook.md").read_text().splitlines()
    chapters = {line[3:].strip().lower() for line in lines if line.startswith("## ")}
    for rule in RULES:
        path, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert path == "docs/runbook.md"
        assert anchor == rule["alert"].lower()
        assert anchor in chapters
        assert rule["labels"]["severity"] in ("page", "ticket")


def test_panels_do_not_overlap_and_have_numbers_of_their_own() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_what_is_composed_is_pinned_and_open_to_this_machine_only() -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    watching = {name: part for name, part in composed.items() if part.get("profiles") == ["monitoring"]}
    assert set(watching) == {"prometheus", "grafana"}
    for part in watching.values():
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", part["image"])
        assert all(port.startswith("127.0.0.1:") for port in part.get("ports", []))
        for volume in part["volumes"]:
            source = volume.split(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus is not installed")
def test_alerts_go_off_when_they_should() -> None:
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
