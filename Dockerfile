# docker build .                      the service for a CPU: ONNX Runtime, no torch
# docker build --target gpu .         the same with torch, for an NVIDIA GPU
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS packages
WORKDIR /build
RUN python -m venv /opt/venv
COPY deploy/serve.lock deploy/
# Only files whose hash stands in the lock (make lock). pip compiles to .pyc; the service's user could not later.
RUN /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r deploy/serve.lock

FROM packages AS packages-gpu
COPY pyproject.toml constraints.txt ./
COPY deploy/requirements.py deploy/
RUN python deploy/requirements.py serve postgres gpu > requirements.txt \
    && /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check -c constraints.txt -r requirements.txt

FROM python:${PYTHON} AS service
RUN useradd --uid 10001 --create-home intermodal \
    && install --directory --owner intermodal --group intermodal /data
WORKDIR /srv/intermodal
COPY app/ app/
COPY models/ models/
COPY retrieval/ retrieval/
RUN python -m compileall -q app models retrieval
COPY samples/ samples/
COPY checkpoints/ checkpoints/
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    INTERMODAL_HOST=0.0.0.0 \
    INTERMODAL_PORT=8000 \
    INTERMODAL_DATA=/data
USER 10001
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['INTERMODAL_PORT'] + '/health/ready', timeout=4)"]
CMD ["python", "-m", "app", "serve"]

FROM service AS gpu
# nvidia-smi, by which the engine is chosen, is of `utility`.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=packages-gpu /opt/venv /opt/venv

FROM service AS cpu
COPY --from=packages /opt/venv /opt/venv
