#!/usr/bin/env bash
# Makes the virtual environment that `make` uses, from the hashed locks in infra/requirements. Needs
# python3 (3.11 or 3.12) with venv, nothing else: pip, which venv brings, installs uv, and uv the
# rest.
#
#   PYTHON=python3 VENV=.venv infra/setup_env.sh [cpu|gpu] [dev] [infra]     (default: cpu dev)
#
# Does nothing if all that is there already, and adds extras to a finished environment. Makes it
# afresh if it was interrupted, or if the locks, pyproject.toml, this script or Python changed. An
# environment that it did not make is neither removed nor written to.
#
# PyTorch's CPU builds come from TORCH_CPU_INDEX if that can be reached; if not, or if it is set to
# nothing, the general builds (3 GB more) come from the default registry. Registry, certificates and
# proxy are uv's own settings (UV_…), else those that pip has here.
set -euo pipefail
cd "$(dirname "$0")/.."

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
TORCH_CPU_INDEX=${TORCH_CPU_INDEX-https://download.pytorch.org/whl/cpu}
LOCKS=infra/requirements
MARKER=$VENV/made-by-setup_env.sh
STAMP=$VENV/stamp # written last: a digest of what it was made from, then its extras
LOG=$VENV/setup.log

refuse() {
    echo "error: $1" >&2
    exit 2
}

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

uv_install() {
    "$VENV/bin/uv" pip install --no-progress --python "$VENV/bin/python" --no-deps "$@"
}

from_locks() { # from_locks cpu dev…: wheels only, each with a hash that its lock names
    uv_install --require-hashes --no-build "${@/#/--requirements=$LOCKS/}"
}

torch_from_cpu_index() { # from that index and no other, whatever else is configured
    local torch
    torch=$(grep '^torch==' "$LOCKS/torch.in")
    # vLLM for CPUs asks for "+cpu"; of the others this index has no other builds.
    env -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS -u UV_NO_INDEX \
        "$VENV/bin/uv" pip install --no-config --no-progress --python "$VENV/bin/python" --no-deps \
        --no-build --default-index "$TORCH_CPU_INDEX" --requirements "$LOCKS/torch.in" \
        "$torch+cpu" "$@"
}

cpu_index_reachable() { # asked once and briefly: has it all of torch.in, for this Python?
    [[ -n $TORCH_CPU_INDEX ]] &&
        UV_HTTP_CONNECT_TIMEOUT=5 UV_HTTP_TIMEOUT=5 UV_HTTP_RETRIES=0 \
            torch_from_cpu_index --dry-run >>"$LOG" 2>&1
}

make_environment() {
    # All but the marker, so that an interruption here, too, leaves an environment of ours.
    find "$VENV/" -mindepth 1 -maxdepth 1 ! -name "${MARKER##*/}" -exec rm -rf {} +
    step "virtual environment" "$PYTHON" -m venv "$VENV"
    step "uv, by pip" "$VENV/bin/python" -m pip install --disable-pip-version-check --no-input \
        --progress-bar off --no-deps --require-hashes --requirement "$LOCKS/uv.txt"
}

use_pip_settings() { # in a variable first: `eval "$(…)"` would pass over a failure
    local exports
    exports=$("$VENV/bin/python" "$LOCKS/pip_settings.py")
    eval "$exports"
}

install_extras() { # install_extras cpu dev…
    local locks=("${@/%/.txt}")
    # Beside a CPU torch the general torchvision, torchaudio and torchcodec cannot be loaded, and
    # the other way round: all four are of one kind.
    if [[ " $* " == *" cpu "* ]]; then
        if cpu_index_reachable; then
            step "torch, CPU builds from PyTorch's index" torch_from_cpu_index
        else
            echo "  PyTorch's CPU index is out of reach: torch's general builds instead"
            locks+=(torch.txt)
        fi
    fi
    step "from the locks: ${locks[*]%.txt}" from_locks "${locks[@]}"
}

engine=
wanted=("$@")
((${#wanted[@]})) || wanted=(cpu dev)
for extra in "${wanted[@]}"; do
    case $extra in
    cpu | gpu) engine+=$extra ;;
    dev | infra) ;;
    *) refuse "extra '$extra': expected cpu or gpu, dev, infra" ;;
    esac
done
[[ $engine == cpu || $engine == gpu ]] || refuse "extras '${wanted[*]}': expected one of cpu, gpu"

"$PYTHON" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' ||
    refuse "$PYTHON is no Python 3.11 or 3.12; name one: make PYTHON=python3.11"

if [[ -e $VENV && ! -f $MARKER && -n $(ls -A "$VENV") ]]; then
    refuse "$VENV was not made by infra/setup_env.sh and stays as it is; choose another place \
(make VENV=.venv-pairmill), or remove $VENV yourself"
fi
mkdir -p "$VENV"
echo "infra/setup_env.sh made this environment and may remove what is in it" >"$MARKER"
exec 9<"$MARKER"
flock --nonblock 9 || { echo "Waiting for another set-up of $VENV" && flock 9; }

digest=$({ cat pyproject.toml infra/setup_env.sh "$LOCKS"/*.{in,txt}; "$PYTHON" -VV; pwd; } |
    sha256sum)
made='' present=''
[[ ! -f $STAMP ]] || read -r made present <"$STAMP"
[[ $made == "${digest%% *}" && " $present " == *" $engine "* ]] || present=
missing=()
for extra in "${wanted[@]}"; do
    [[ " $present " == *" $extra "* ]] || missing+=("$extra")
done
((${#missing[@]})) || exit 0

if [[ -z $present ]]; then
    echo "Setting up $VENV with $("$PYTHON" -V): ${missing[*]} (once; up to 8 GB)"
    make_environment
    use_pip_settings
    install_extras "${missing[@]}"
    # Its own build needs hatchling, locked as well, which does not stay.
    step "pairmill itself, editable" uv_install --build-constraints "$LOCKS/build.txt" \
        --require-build-hashes --editable .
    # Of one kind, and their libraries are here. Writes their bytecode too, which uv did not.
    step "check that torch and vLLM load" env -u PYTHONDONTWRITEBYTECODE \
        "$VENV/bin/python" -c "import torch, torchvision, vllm"
else
    echo "Adding to $VENV: ${missing[*]}"
    use_pip_settings
    install_extras "${missing[@]}"
fi
echo "${digest%% *} $present ${missing[*]}" >"$STAMP"
echo "Ready in $SECONDS s"
