#!/usr/bin/env bash
# What the RayJob runs on its head: the one place to change for another job. Input, output and
# further arguments are in the ConfigMap pairmill-job (job.env).
set -euo pipefail

read -ra more <<<"${PAIRMILL_ARGS:-}"
# exec: the job itself takes the SIGTERM of `ray job stop`.
exec python3 -m jobs.nightly \
    --config /etc/pairmill/judge.yaml \
    --input "${PAIRMILL_INPUT:?set it in job.env: a folder of pair shards}" \
    --output "${PAIRMILL_OUTPUT:?set it in job.env: where labels and snapshots go}" \
    "${more[@]}"
