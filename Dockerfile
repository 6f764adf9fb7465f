# The app and its HTTP service, on a CPU:
#   docker build --tag jax-depth .
#   docker run --init --stop-timeout 40 --publish 127.0.0.1:7860:7860 jax-depth
FROM python:3.12-slim

# For NVIDIA GPUs: "jax[cuda12]", and `docker run --gpus all`.
ARG JAX="jax"

WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY jax_depth jax_depth
COPY convert convert
RUN pip install --no-cache-dir ".[app,video,exr]" "$JAX"

# Weights and compiled programs are kept in its home: mount a volume at
# /home/depth/.cache to keep them from one container to the next.
RUN useradd --create-home depth
USER depth
WORKDIR /home/depth
ENV PYTHONUNBUFFERED=1

EXPOSE 7860
HEALTHCHECK --start-period=5m --interval=30s --timeout=10s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health')"]
ENTRYPOINT ["jax-depth", "app", "--host", "0.0.0.0"]
