"""The overlays of deploy/kubernetes/, as `kubectl kustomize` writes them. Asks no cluster."""

import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(path.name for path in (FOLDER / "overlays").iterdir()))
KUBECTL = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")


@cache
def build(overlay: str) -> tuple[dict[str, Any], ...]:
    """Every object of an overlay, in the order of its text."""
    command = [str(KUBECTL), "kustomize", str(FOLDER / "overlays" / overlay)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(yaml.safe_load_all(text))


def only(overlay: str, kind: str) -> dict[str, Any]:
    """The one object of a kind."""
    [found] = [part for part in build(overlay) if part["kind"] == kind]
    return found


def container(overlay: str) -> dict[str, Any]:
    """The service's container."""
    [found] = only(overlay, "Deployment")["spec"]["template"]["spec"]["containers"]
    return dict(found)
