# docker build -t blood-kedro .                       torch as PyPI has it: runs on a CPU and on an NVIDIA GPU
# docker build -t blood-kedro:cpu --build-arg TORCH_INDEX=<index of PyTorch's CPU builds> .         a third of the size
FROM python:3.11-slim AS build
ARG TORCH_INDEX=""
WORKDIR /app
RUN pip install --no-cache-dir "uv==0.13.8" && python -m venv /venv
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY scripts/cpu_lock.py scripts/
RUN if [ -n "$TORCH_INDEX" ]; then \
      python scripts/cpu_lock.py requirements.lock cpu.lock torch.txt && \
      uv pip install --no-cache --python /venv/bin/python --no-deps --require-hashes -r cpu.lock && \
      uv pip install --no-cache --python /venv/bin/python --no-deps --index-url "$TORCH_INDEX" -r torch.txt; \
    else \
      uv pip install --no-cache --python /venv/bin/python --require-hashes -r requirements.lock; \
    fi
COPY src src
RUN uv pip install --no-cache --python /venv/bin/python --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --create-home smear && mkdir /app && chown smear /app
COPY --from=build /venv /venv
WORKDIR /app
COPY --chown=smear conf conf
COPY --chown=smear pyproject.toml .telemetry ./
USER smear
RUN mkdir src data
ENV PATH=/venv/bin:$PATH MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true BLOOD_KEDRO_APP_HOST=0.0.0.0
EXPOSE 7860
VOLUME /app/data
CMD ["kedro", "run"]
