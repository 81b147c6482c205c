# syntax=docker/dockerfile:1
# One image for every part: web, scheduler, worker, and the commands. `docker-compose.yml` says which runs what.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements/base.txt requirements/build.txt requirements/
RUN python -m venv /opt/headrace \
    && /opt/headrace/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/base.txt
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/build.txt
COPY pyproject.toml README.md LICENSE ./
COPY platform platform
COPY workers workers
COPY web web
COPY migrations migrations
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/headrace/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim-bookworm
# `headrace backup` dumps PostgreSQL with its own program, of the version that the compose file runs.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends postgresql-client-15 \
    && rm -rf /var/lib/apt/lists/*
# Folders that volumes are mounted on: a new volume takes its owner and mode from here.
RUN groupadd --gid 10001 headrace \
    && useradd --uid 10001 --gid headrace --no-create-home --home-dir /data --shell /usr/sbin/nologin headrace \
    && install --directory --owner headrace --group headrace --mode 0700 /data /artifacts
COPY --from=build /opt/headrace /opt/headrace
ENV PATH=/opt/headrace/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    HEADRACE_DATA=/data \
    HEADRACE_LOG_FORMAT=json
USER 10001:10001
WORKDIR /data
EXPOSE 8700
# By itself, a whole deployment on the volume /data.
CMD ["headrace", "up", "--host", "0.0.0.0"]
