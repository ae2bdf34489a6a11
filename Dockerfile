# CPU: docker build -t blood-kedro .          CUDA: docker build -t blood-kedro:cuda --build-arg TORCH=cuda .
FROM python:3.11-slim AS build
ARG TORCH=cpu
WORKDIR /app
RUN pip install --no-cache-dir "uv==0.13.8" && python -m venv /venv
COPY requirements.lock pyproject.toml README.md LICENSE ./
# The pins of PyPI's torch come with CUDA's packages; without a GPU they are two thirds of the image and are left out.
RUN if [ "$TORCH" = cpu ]; then \
      python -c "import re, pathlib; text = pathlib.Path('requirements.lock').read_text(); \
entries = re.split(r'(?m)^(?=[A-Za-z0-9])', text); \
kept = [e for e in entries if not re.match(r'(nvidia-|cuda-|triton)', e)]; \
pathlib.Path('requirements.lock').write_text(''.join(kept))" && \
      uv pip install --no-cache --python /venv/bin/python --no-deps --require-hashes -r requirements.lock; \
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
RUN mkdir -p src data && chown smear src data
USER smear
ENV PATH=/venv/bin:$PATH MLFLOW_DISABLE_TELEMETRY=true DO_NOT_TRACK=true GRADIO_SERVER_NAME=0.0.0.0
EXPOSE 7860 5000
VOLUME /app/data
CMD ["kedro", "run"]
