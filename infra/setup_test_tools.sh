#!/usr/bin/env bash
# Brings what tests run beside Python packages, both Debian's: Chromium without windows, which opens
# the report, and promtool, which checks the alert rules. Where one cannot be had (no apt; for
# Chromium, no root), the tests that need it are skipped and say so.
#
#   VENV=.venv infra/setup_test_tools.sh [chromium-headless-shell] [promtool]     (default: both)
set -uo pipefail
cd "$(dirname "$0")/.."

TOOLS=${VENV:-.venv}/tools
LOG=$TOOLS/setup.log
mkdir -p "$TOOLS"

step() { # step "what" command…: runs it, says how long it took; a failure only costs tests
    local what=$1 start=$SECONDS
    shift
    printf '  %-52s' "$what"
    if "$@" >>"$LOG" 2>&1; then
        printf '%4d s\n' $((SECONDS - start))
    else
        printf 'not to be had (%s); its tests are skipped\n' "$LOG"
    fi
}

chromium-headless-shell() {
    timeout 300 apt-get -qq update &&
        DEBIAN_FRONTEND=noninteractive timeout 900 apt-get -qq install -y --no-install-recommends \
            chromium-headless-shell fonts-dejavu-core
}

promtool() { # unpacked, not installed: Debian's package would start a server
    local work
    work=$(mktemp -d)
    (cd "$work" && timeout 300 apt-get -qq download prometheus && dpkg-deb -x prometheus_*.deb .) &&
        cp "$work/usr/bin/promtool" "$TOOLS/promtool"
    local status=$?
    rm -rf "$work"
    return $status
}

for name in "${@:-chromium-headless-shell promtool}"; do
    for tool in $name; do
        [[ -x $TOOLS/$tool ]] || type -P "$tool" >/dev/null || step "$tool, from Debian" "$tool"
    done
done
exit 0
