"""The tokenizers; `--text`, `--v1` and `--v3` say which text and which vocabularies."""

from __future__ import annotations

from typing import Any

from tools.benchmark.session import Row, Session
from tools.benchmark.tokenization import CLASSES, OURS, THEIRS, read_texts, run

LINES, SECONDS = 500, 0.2


def measure(session: Session) -> tuple[dict[str, Any], list[Row]]:
    """How much text there was, and rows as `tools.benchmark.tokenization` gives them."""
    needed = ("text", *CLASSES)
    missing = [f"--{name}" for name in needed if not session.options.get(name)]
    if "transformers4" not in session.pythons:
        missing.append("--transformers4")
    if missing:
        session.leave_out("tokenization", "all", f"it needs {', '.join(missing)}")
        return {}, []
    texts = read_texts(session.options["text"], LINES)
    pythons = {OURS: session.pythons["ours"], THEIRS: session.pythons["transformers4"]}
    vocabularies = {version: session.options[version] for version in CLASSES}
    rows, _ = run(pythons, texts, vocabularies, session.rounds, SECONDS)
    return {"count": len(texts), "characters": sum(map(len, texts))}, rows
