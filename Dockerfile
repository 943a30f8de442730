# docker build -t deberta-dual . && docker run -p 8000:8000 -v ./models:/models deberta-dual /models/my-classifier
FROM python:3.11-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY deberta_core deberta_core
COPY deberta_torch deberta_torch
COPY deberta_tf deberta_tf
COPY conformance conformance
COPY deberta_dual deberta_dual
RUN pip install --no-cache-dir --constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu ".[torch,onnx,serve]" \
    && useradd --create-home deberta
USER deberta
EXPOSE 8000
HEALTHCHECK CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=5)"
ENTRYPOINT ["deberta", "serve", "--host", "0.0.0.0"]
