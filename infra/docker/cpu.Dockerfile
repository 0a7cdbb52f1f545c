# The same job with vLLM for CPUs: trying it out, tests, ingest, evaluation. Not for one Ray cluster
# with the GPU image: its Python may differ, which Ray refuses.
#
#   docker build -f infra/docker/cpu.Dockerfile -t registry.example.com/pairmill-cpu:0.1.0 .
#   docker run --rm --init --shm-size=2g registry.example.com/pairmill-cpu:0.1.0 python3 -m jobs.demo
#
# Tags are pinned; add @sha256 digests from your registry.
FROM docker.io/library/python:3.12.12-slim-bookworm AS build
COPY infra/requirements /requirements
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement /requirements/uv.txt \
    && python -m venv --without-pip /opt/venv
# Compiled here: the image's user may write no bytecode, and each engine would compile vLLM anew.
ENV VIRTUAL_ENV=/opt/venv \
    UV_COMPILE_BYTECODE=1
# First and alone, since it is large and changes rarely: torch and its kin as CPU builds from
# PyTorch's index, all else from the lock, each file with its hash.
RUN uv pip install --no-cache --no-deps --no-build \
        --default-index https://download.pytorch.org/whl/cpu --requirements /requirements/torch.in \
    && uv pip install --no-cache --no-deps --no-build --require-hashes \
        --requirements /requirements/cpu.txt
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY pipeline pipeline
COPY jobs jobs
RUN uv pip install --no-cache --no-deps --build-constraints /requirements/build.txt \
        --require-build-hashes /src

FROM docker.io/library/python:3.12.12-slim-bookworm AS judge
ARG VERSION=0.1.0
LABEL org.opencontainers.image.title="pairmill-cpu" \
      org.opencontainers.image.description="Preference labels for multimodal pairs, on CPUs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.licenses="Apache-2.0"
# vLLM's CPU kernels link it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libnuma1=2.0.16-1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 pairmill \
    && useradd --uid 10001 --gid 10001 --create-home --shell /usr/sbin/nologin pairmill
COPY --from=build /opt/venv /opt/venv
COPY infra/docker/check_image.py /opt/pairmill/check_image.py
USER 10001:10001
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/pairmill \
    HF_HOME=/home/pairmill/.cache/huggingface \
    PYTHONUNBUFFERED=1 \
    RAY_USAGE_STATS_ENABLED=0 \
    VLLM_NO_USAGE_STATS=1
WORKDIR /home/pairmill
RUN ["python3", "/opt/pairmill/check_image.py"]
# A batch job's health is its exit code.
HEALTHCHECK NONE
CMD ["python3", "-m", "jobs.label", "--help"]
