"""The image without Docker: its commands make its folders, and its CMD runs in a mount namespace.

Root alone may make a namespace. Without it the service runs all the same, but may write where it likes."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.container.dockerfile import ROOT, read_stages
from tests.tiny import image_file

pytestmark = pytest.mark.slow

STAGES = read_stages()
PYTHON = Path(sys.executable).resolve()
USER = STAGES["service"].all("USER")[0]
# What compose asks for: everything read-only but /tmp, which is empty memory, and the volume.
CONTAINER = """
set -e
mount --make-rprivate /
image=$1; python=$2; shift 2
mkdir -p /mnt /opt /srv
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/python /mnt/image
mount --bind "$python" /mnt/python
mount --bind "$image" /mnt/image
mount -t tmpfs -o mode=755 tmpfs /opt
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir /opt/venv /srv/intermodal /srv/data
mount --bind /mnt/image/opt/venv /opt/venv
mount --bind /mnt/image/srv/intermodal /srv/intermodal
mount --bind /mnt/image/data /srv/data
mount -o remount,ro,bind /srv/intermodal
mount -o remount,ro,bind /opt/venv
top=/$(echo "$python" | cut -d/ -f2)
case $(stat -c %A "$top") in *x) ;; *)  # a home that only its owner may enter
    mount -t tmpfs -o mode=755 tmpfs "$top"
    mkdir -p "$python"
    mount --bind /mnt/python "$python"
esac
mount -t tmpfs -o size=320m,mode=1777 tmpfs /tmp
for place in /opt /srv /root /; do mount -o remount,ro,bind $place 2>/dev/null || test $place = /root; done
cd /srv/intermodal
exec setpriv --reuid USER --regid USER --clear-groups --no-new-privs --bounding-set -all --inh-caps -all "$@"
"""


def namespaces_work() -> bool:
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    trial = "mount --make-rprivate / && mount -t tmpfs tmpfs /mnt"
    return subprocess.run(["unshare", "-m", "sh", "-c", trial], capture_output=True, check=False).returncode == 0


CONTAINED = namespaces_work()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's folders, made by the very RUN and COPY lines of the target cpu."""
    root = tmp_path_factory.mktemp("image")
    base = root / "base"  # stands for the base image's PATH
    base.mkdir()
    (base / "python").write_text(f'#!/bin/sh\nexec "{PYTHON}" "$@"\n')
    (base / "python").chmod(0o755)
    for name in ("packages", "service"):
        folder = root
        for keyword, value in STAGES[name].instructions:
            if keyword == "WORKDIR":
                folder = root / value.lstrip("/")
                folder.mkdir(parents=True)
            elif keyword == "COPY":
                copy(value.split(), folder)
            elif keyword == "RUN" and "useradd" not in value:
                run_line(value.replace("/opt/venv", f"{root}/opt/venv"), folder, base)
    (root / "data").mkdir()
    if CONTAINED:
        shutil.chown(root / "data", int(USER), int(USER))
    return root


def copy(words: list[str], folder: Path) -> None:
    *sources, target = words
    for source in sources:
        if (ROOT / source).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "*.pyc")
            shutil.copytree(ROOT / source, folder / target, ignore=skipped, dirs_exist_ok=True)
        elif (ROOT / source).exists():  # a checkout may be without checkpoints
            destination = folder / target
            destination = destination / Path(source).name if target.endswith("/") else destination
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, destination)


def run_line(line: str, folder: Path, base: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "INTERMODAL"))},
        "PATH": f"{base}:/usr/bin:/bin",
    }
    run = subprocess.run(
        ["sh", "-ec", line], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@contextmanager
def container(image: Path) -> Iterator[tuple[int, subprocess.Popen[bytes], dict[str, str]]]:
    """The running CMD: its port, process and environment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**STAGES["service"].environment(), "INTERMODAL_PORT": str(port), "INTERMODAL_NUM_WORKERS": "1"}
    folder, venv, before = image / "srv/intermodal", image / "opt/venv", []
    environment |= {"INTERMODAL_DATA": str(image / "data"), "PATH": f"{venv}/bin:/usr/bin:/bin"}
    if CONTAINED:
        environment |= {"INTERMODAL_DATA": "/srv/data", "PATH": "/opt/venv/bin:/usr/bin:/bin"}
        script = CONTAINER.replace("USER", USER)
        before = ["unshare", "-m", "sh", "-c", script, "sh", str(image), sys.base_prefix]
    with (image / "log").open("wb") as log:
        command = [*before, *STAGES["service"].command("CMD")]
        service = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            yield port, service, environment
        finally:
            service.kill()
            service.wait()


def healthy(image: Path, environment: dict[str, str]) -> bool:
    check = STAGES["service"].command("HEALTHCHECK")
    path = f"{image}/opt/venv/bin:/usr/bin:/bin"
    return (
        subprocess.run(check, env={**environment, "PATH": path}, capture_output=True, check=False).returncode == 0
    )


def large_upload() -> tuple[bytes, str]:
    """A form with a PNG of over 5 MB."""
    pixels = np.random.default_rng(0).integers(0, 256, (1400, 1300, 3), dtype=np.uint8)
    edge, file = "an-edge", image_file(Image.fromarray(pixels), "PNG")
    assert len(file) > 5_000_000
    head = b'Content-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png'
    body = b"--%b\r\n%b\r\n\r\n%b\r\n--%b--\r\n" % (edge.encode(), head, file, edge.encode())
    return body, f"multipart/form-data; boundary={edge}"


@pytest.mark.clock
def test_the_image_serves_read_only_answers_a_large_upload_and_stops_with_0(image: Path) -> None:
    assert list((image / "srv/intermodal/app/__pycache__").glob("*.pyc"))
    assert not list((image / "opt/venv").glob("lib/*/site-packages/torch"))
    with container(image) as (port, service, environment):
        end = time.monotonic() + 60
        while not healthy(image, environment):
            assert service.poll() is None, (image / "log").read_text()
            assert time.monotonic() < end, (image / "log").read_text()
            time.sleep(0.2)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        body, kind = large_upload()
        connection.putrequest("POST", "/predict")
        connection.putheader("Content-Type", kind)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:-10])
        wait_for_spool(service.pid)
        connection.send(body[-10:])
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        assert json.loads(answer.read())["modalities_used"] == ["image"]
        connection.close()
        if CONTAINED:
            look_inside(service.pid)
        service.send_signal(signal.SIGTERM)
        assert service.wait(30) == 0, (image / "log").read_text()
        assert not healthy(image, environment)
    lines = (image / "log").read_text().splitlines()
    [request] = [
        entry for line in lines if line.startswith("{") and (entry := json.loads(line))["message"] == "request"
    ]
    assert (request["model"], request["bytes_in"]) == ("fashion", len(body))


def wait_for_spool(pid: int) -> None:
    """The upload is in a file without a name, in the folder for temporary files."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        targets = [os.path.realpath(link) for link in Path(f"/proc/{pid}/fd").iterdir()]
        if any(target.startswith("/tmp") and target.endswith("(deleted)") for target in targets):  # noqa: S108
            return
        time.sleep(0.02)
    raise AssertionError("the upload is in no file")


def look_inside(pid: int) -> None:
    """The process is not root, has no capability, and can write to /tmp and the volume alone."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert set(status["Uid"].split()) == {USER}
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1"
    places = "/ /srv/intermodal /opt/venv /tmp /srv/data"
    script = f"for place in {places}; do touch $place/x 2>/dev/null && echo $place; done"
    join = ["nsenter", "-t", str(pid), "-m", "setpriv", "--reuid", USER, "--clear-groups", "sh", "-c", script]
    written = subprocess.run(join, capture_output=True, text=True, check=False).stdout.split()
    assert written == ["/tmp", "/srv/data"]  # noqa: S108
