"""Times tokenizers in its own process and environment; started by `tokenization.py`.

Reads one JSON object per line from standard input and answers with one: first `{"library", "folders", "texts",
"seconds"}`, then for each run `{"name", "mode"}`. Imports nothing of this repository but what it measures.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from importlib.metadata import version
from typing import Any

PACKAGES = ("tokenizers", "sentencepiece")


def run(tokenizer: Any, texts: list[str], mode: str) -> int:
    """Tokenizes all texts, in one call or one by one, and counts the tokens."""
    rows = tokenizer(texts)["input_ids"] if mode == "batch" else [tokenizer(text)["input_ids"] for text in texts]
    return sum(map(len, rows))


def main() -> None:
    """Answers until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries print, too
    setting = json.loads(sys.stdin.readline())
    library = importlib.import_module(setting["library"])
    tokenizers = {name: getattr(library, name).from_pretrained(folder) for name, folder in setting["folders"].items()}
    versions = {name: version(name) for name in (*setting["packages"], *PACKAGES)}
    print(json.dumps(versions), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        tokenizer, passes, start = tokenizers[request["name"]], 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < setting["seconds"] or not passes:
            tokens = run(tokenizer, setting["texts"], request["mode"])
            passes += 1
        print(json.dumps({"seconds": elapsed / passes, "tokens": tokens}), file=answers, flush=True)


if __name__ == "__main__":
    main()
