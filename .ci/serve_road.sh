#!/usr/bin/env bash
# Install what `make serve` installs, into a venv of its own, serve checkpoints/, and ask it once.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-serve
work=$(mktemp -d)
server=
finish() {
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work" "$venv"
}
trap finish EXIT

rm -rf "$venv"
PIP_QUIET=1 PIP_PROGRESS_BAR=off make "$venv/.installed-serve" VENV="$venv"
if ! nvidia-smi >/dev/null 2>&1; then
    "$venv/bin/python" .ci/roads.py absent torch torchvision timm onnx matplotlib
fi

port=$("$venv/bin/python" .ci/roads.py free-port)
INTERMODAL_DATA="$work/data" "$venv/bin/python" -m app serve --port "$port" >"$work/log" 2>&1 &
server=$!
"$venv/bin/python" .ci/roads.py ask "http://127.0.0.1:$port" "$server" || {
    echo "The service's own words:"
    cat "$work/log"
    exit 1
}
