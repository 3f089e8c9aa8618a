#!/usr/bin/env bash
# Install what training needs into a venv of its own, and train the quick recipe on samples/.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv-train
work=$(mktemp -d)
# torch takes gigabytes, so the venv goes as soon as it has served.
trap 'rm -rf "$work" "$venv"' EXIT

rm -rf "$venv"
PIP_QUIET=1 PIP_PROGRESS_BAR=off make "$venv/.installed-train" VENV="$venv"
"$venv/bin/python" .ci/roads.py absent fastapi uvicorn starlette multipart

"$venv/bin/python" -m training check recipes/quick.toml
"$venv/bin/python" -m training train recipes/quick.toml --out "$work/checkpoints" --work "$work/runs" | tee "$work/log"
version=$(tail -n 1 "$work/log")
test -f "$version/config.json" || {
    echo "The last line printed was '$version', which holds no config.json"
    exit 1
}
echo "trained: $(du -sh "$version" | cut -f 1)"
