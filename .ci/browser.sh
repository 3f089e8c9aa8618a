#!/usr/bin/env bash
# Find Chromium for tests/browser, or install Debian's where that is possible. Without one those tests are skipped,
# and say so: nothing else needs it, so no failure here is a failure of the caller.
set -uo pipefail

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        echo "Chromium for the tests: $(command -v "$name")"
        exit 0
    fi
done
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "No Chromium, so the tests of the page will be skipped. On Debian: apt-get install chromium"
    exit 0
fi
echo "Installing Chromium for the tests of the page"
export DEBIAN_FRONTEND=noninteractive
start=$SECONDS
if { timeout 120 apt-get -qq update && timeout 300 apt-get -qq install --no-install-recommends --yes chromium; } \
    >/dev/null 2>&1; then
    echo "Chromium was installed in $((SECONDS - start)) s"
else
    echo "Chromium could not be installed, so the tests of the page will be skipped"
fi
