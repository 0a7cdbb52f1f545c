# The judge's image: head and GPU workers.
#
#   docker build -f infra/docker/gpu.Dockerfile -t registry.example.com/pairmill-gpu:0.1.0 .
#
# On vLLM's own release image rather than a bare CUDA runtime: FlashInfer compiles kernels at run
# time and Triton its launchers, which needs nvcc, a C compiler and prebuilt kernels that fit this
# very vLLM; there they were tested together, and nodes often hold those layers already. Tags are
# pinned; add @sha256 digests from your registry.
FROM docker.io/library/python:3.12.12-slim-bookworm AS wheel
COPY infra/requirements /requirements
RUN python -m pip install --no-cache-dir --no-deps --require-hashes \
        --requirement /requirements/build.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY pipeline pipeline
COPY jobs jobs
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /dist .

FROM docker.io/vllm/vllm-openai:v0.32.0 AS judge
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pairmill-gpu" \
      org.opencontainers.image.description="Preference labels for multimodal pairs: judge and driver" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"

# Numeric, so that runAsNonRoot can be checked; named, because torch asks for the user's name.
RUN groupadd --gid 10001 pairmill \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin pairmill

# The wheel by its path: an index might have another package of this name. Not from gpu.txt: its
# versions would replace those that the base was built with. What the base compiled against each
# other must come out as it went in.
RUN --mount=type=bind,from=wheel,source=/dist,target=/dist \
    compiled() { python3 -c 'from importlib.metadata import version as v; print(*map(v, ("vllm", "torch", "triton", "flashinfer-python")))'; } \
    && before="$(compiled)" \
    && uv pip install --system --no-cache --compile-bytecode "/dist/pairmill-${VERSION}-py3-none-any.whl[gpu]" \
    && after="$(compiled)" \
    && if [ "$before" != "$after" ]; then echo "error: the base had $before, now $after" >&2; exit 1; fi

COPY infra/docker/check_image.py /opt/pairmill/check_image.py
USER 10001:10001
ENV HOME=/home/pairmill \
    HF_HOME=/home/pairmill/.cache/huggingface \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    VLLM_NO_USAGE_STATS=1
WORKDIR /home/pairmill
# Without a GPU: whether everything can be imported.
RUN ["python3", "/opt/pairmill/check_image.py"]
# A batch job's health is its exit code; in Kubernetes, init containers run check_image.py.
HEALTHCHECK NONE
# The base serves; this labels.
ENTRYPOINT []
CMD ["python3", "-m", "jobs.label", "--help"]
