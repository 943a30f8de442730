"""tokenizer.json, the file of the `tokenizers` library: checked on reading, made of a vocabulary on writing."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError
from deberta_core.files import read_json, write_text
from deberta_core.limits import check
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.charsmap import longest_replacement
from deberta_core.tokenization.json_shapes import PARTS, TOKENIZER
from deberta_core.tokenization.tokenizers_model import library_errors
from deberta_core.tokenization.vocabulary import Vocabulary

TOKENIZER_FILE = "tokenizer.json"
_HINT = "A tokenizer.json is written by the tokenizers library."


class TokenizerFile:
    """What a tokenizer.json says; its truncation, padding and post-processor are not used.

    Args:
        file: the path.
        kinds: the algorithms it may hold, such as "BPE" or "Unigram"; any if empty.
        owner: the class that reads it, for messages.

    Raises:
        TokenizationError: the file is missing, broken, or another tokenizer's.
    """

    def __init__(self, file: Path, kinds: Sequence[str], owner: str) -> None:
        self.file = file
        self._content = read_json(file, TokenizationError, _HINT, TOKENIZER)
        self.model: dict[str, Any] = self._content["model"]
        self.kind = _kind(self.model)  # None where the file does not say it
        if kinds and self.kind not in kinds:
            what = f"a {self.kind} model" if self.kind else "no model"
            needs = " or ".join(kinds)
            raise TokenizationError(f"{file} holds {what}, but {owner} needs {needs}. Choose the class that fits.")
        growths = [_growth(self._content.get(name), file) for name in ("normalizer", "decoder")]
        check("text_growth", max(growths), f"{file} makes a text up to", TokenizationError)

    def added_tokens(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return {
            entry["id"]: AddedToken.from_json({k: v for k, v in entry.items() if k != "id"}, self.file.name)
            for entry in self._content.get("added_tokens") or ()
        }

    def pieces(self) -> list[str]:
        """The tokens of the model in the order of their ids."""
        vocab = self.model["vocab"]
        return sorted(vocab, key=vocab.__getitem__) if isinstance(vocab, dict) else [entry[0] for entry in vocab]

    def merges(self) -> tuple[tuple[str, str], ...]:
        """The merges of a BPE model, which newer files hold as pairs and older ones as text."""
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in self.model.get("merges") or ()]
        return tuple((left, right) for left, right in merges)

    def part_types(self, name: str) -> set[str]:
        """The types in "normalizer", "pre_tokenizer" or "decoder", those inside a Sequence included."""
        return {part["type"] for part in _flat(self._content.get(name))}

    def pipeline(self) -> Any:
        """The `tokenizers.Tokenizer` of the file."""
        from tokenizers import Tokenizer as Pipeline

        used = {name: self._content.get(name) for name in ("normalizer", "pre_tokenizer", "decoder", "model")}
        with library_errors(f"{self.file} is refused by the tokenizers library", _HINT):
            return Pipeline.from_str(json.dumps({"version": "1.0", **used, "added_tokens": []}))


def write_tokenizer_json(folder: Path, prefix: str, pipeline: Mapping[str, Any], vocabulary: Vocabulary) -> Path:
    """Writes a tokenizer.json for other libraries; `pipeline` is of `SubwordModel.describe`, `prefix` for the name."""
    return write_text(folder / f"{prefix}{TOKENIZER_FILE}", _tokenizer_json(pipeline, vocabulary))


def pipeline_of(pipeline: Mapping[str, Any], vocabulary: Vocabulary) -> Any:
    """The `tokenizers.Tokenizer` of the tokenizer.json that would be written."""
    from tokenizers import Tokenizer as Pipeline

    with library_errors("The tokenizer is refused by the tokenizers library", _HINT):
        return Pipeline.from_str(_tokenizer_json(pipeline, vocabulary))


def _tokenizer_json(pipeline: Mapping[str, Any], vocabulary: Vocabulary) -> str:
    around = [vocabulary.special[name] for name in ("cls_token", "sep_token") if name in vocabulary.special]
    ends = {token: vocabulary.ids[token] for token in around}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": index, **token.to_json()} for index, token in vocabulary.by_id.items()],
        "normalizer": pipeline["normalizer"],
        "pre_tokenizer": pipeline["pre_tokenizer"],
        "post_processor": _template(ends) if len(ends) == 2 else None,
        "decoder": pipeline["decoder"],
        "model": pipeline["model"],
    }
    entries = [f"  {json.dumps(name)}: {json.dumps(part, ensure_ascii=False)}" for name, part in content.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"  # an indent of all lines would be made by Python, in seconds


def _flat(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A part and those inside it."""
    inside = [] if part is None else [each for name in PARTS for each in part.get(name, ())]
    return ([] if part is None else [part]) + [each for one in inside for each in _flat(one)]


def _growth(part: dict[str, Any] | None, file: Path) -> int:
    """How many times its length a text may become by a normalizer or decoder, at most."""
    growth = 1
    for each in _flat(part):
        pattern = each.get("pattern")
        if each["type"] == "Replace" and isinstance(pattern, dict):
            added = len(each.get("content", ""))
            is_text = bool(pattern.get("String"))
            growth *= max(1, -(-added // len(pattern["String"]))) if is_text else added + 1  # "" matches everywhere
        elif each.get("precompiled_charsmap"):
            try:
                growth *= longest_replacement(b64decode(each["precompiled_charsmap"], validate=True))
            except ValueError as problem:
                raise TokenizationError(f"{file}: {problem}. {_HINT}") from None
    return growth


def _kind(model: dict[str, Any]) -> str | None:
    # Files of old versions of the library do not name the type.
    return str(model["type"]) if "type" in model else "BPE" if "merges" in model else None


def _template(ends: Mapping[str, int]) -> dict[str, Any]:
    (cls, _), (sep, _) = ends.items()

    def special(token: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": type_id}}

    single = [special(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, special(sep, 0)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}, special(sep, 1)],
        "special_tokens": {token: {"id": token, "ids": [index], "tokens": [token]} for token, index in ends.items()},
    }
