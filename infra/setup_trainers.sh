#!/usr/bin/env bash
# Makes an environment for each trainer whose own code reads our exports in tests/trainers. Each lies
# over the development environment: its own releases of what the trainer pins, torch from below.
#
#   VENV=.venv infra/setup_trainers.sh [trl] [llama-factory] [ms-swift] [openrlhf] [verl]     (default: all)
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=$(realpath "${VENV:-.venv}")
FOLDER=$VENV/trainers
site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
exports=$("$VENV/bin/python" infra/requirements/pip_settings.py)
eval "$exports"

install() { # install NAME "packages that bring what they need" "packages that must not (torch)"
    local place=$FOLDER/$1 log=$FOLDER/$1.log start=$SECONDS stamp
    stamp=$({ echo "$@"; cat "$VENV/stamp"; } | sha256sum | cut -d' ' -f1)
    if [[ -f $place/stamp && $(<"$place/stamp") == "$stamp" ]]; then
        return
    fi
    printf '  %-52s' "$1"
    rm -rf "$place"
    mkdir -p "$FOLDER"
    local own
    {
        "$VENV/bin/python" -m venv --without-pip "$place"
        own=$("$place/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
        local uv=("$VENV/bin/uv" pip install --no-progress --python "$VENV/bin/python"
            --target "$own")
        # shellcheck disable=SC2086
        { [[ -z $2 ]] || "${uv[@]}" $2; } && "${uv[@]}" --no-deps $3
        echo "$site" >"$own/below.pth"
    } >"$log" 2>&1 || {
        printf 'failed\n'
        tail -n 20 "$log" >&2
        echo "error: the environment of $1 cannot be made; the whole log is in $log" >&2
        exit 1
    }
    echo "$stamp" >"$place/stamp"
    printf '%4d s\n' $((SECONDS - start))
}

for trainer in "${@:-trl llama-factory ms-swift openrlhf verl}"; do
    for name in $trainer; do
        case $name in
        trl) install trl "" "trl==1.16.0 accelerate==1.15.0" ;;
        llama-factory)
            install llama-factory \
                "transformers==5.6.0 datasets==4.0.0 omegaconf tyro<0.9 sentencepiece" \
                "llamafactory==0.9.5 peft==0.18.1 accelerate==1.11.0 trl==0.24.0"
            ;;
        ms-swift)
            install ms-swift \
                "datasets==4.8.4 modelscope>=1.23 json-repair dacite addict" \
                "ms-swift==4.6.0 peft==0.18.1 accelerate==1.15.0 trl==0.29.0"
            ;;
        openrlhf) install openrlhf "" "openrlhf==0.11.2 pylatexenc==2.10" ;;
        verl)
            install verl "" "verl==0.9.1 tensordict==0.10.0 omegaconf==2.4.0 codetiming==1.4.0
                antlr4-python3-runtime==4.9.3 pyvers==0.2.3 orjson==3.13.0"
            ;;
        *)
            echo "error: $name: expected trl, llama-factory, ms-swift, openrlhf or verl" >&2
            exit 2
            ;;
        esac
    done
done
