# syntax=docker/dockerfile:1

FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /venv
# Dependencies first: they change less often than the code.
COPY requirements.lock .
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip install --no-deps --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY generated generated
COPY migrations migrations
COPY training_service training_service
RUN --mount=type=cache,target=/root/.cache/pip \
    /venv/bin/pip wheel --no-deps --wheel-dir dist . \
    && /venv/bin/pip install --no-deps --no-index dist/*.whl \
    && /venv/bin/pip uninstall --yes pip

FROM python:3.13-slim
# A volume that is new takes its owner from /data: for an archive in a folder, and nothing else. The
# rest may be read-only.
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin training \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /venv /venv
# The process that draws charts asks for a home, and may write there.
ENV PATH=/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    TRAINING_LISTEN_ADDRESS=0.0.0.0:50051 \
    TRAINING_DATA_DIRECTORY=/data
USER 10001:10001
EXPOSE 50051
STOPSIGNAL SIGTERM
# The service's own gRPC health, over the same TLS as its callers.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-m", "training_service.probe"]
ENTRYPOINT ["training-service"]
CMD ["serve"]
