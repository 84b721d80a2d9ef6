# Trains on a minicarla of its own: docker build -t avtd3-jax . && docker run --rm -v "$PWD/runs:/avtd3-jax/runs" avtd3-jax
FROM python:3.12-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /avtd3-jax
COPY . .
# The environment only: what `make train` would make at its start.
RUN make .venv/.ready
ENTRYPOINT ["make"]
CMD ["train"]
