"""tokenizer.json, the file of the `tokenizers` library: checked on reading, made of a vocabulary on writing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deberta_core.errors import TokenizationError
from deberta_core.files import read_json, write_text
from deberta_core.tokenization.added_tokens import AddedToken
from deberta_core.tokenization.vocabulary import Vocabulary

TOKENIZER_FILE = "tokenizer.json"
_HINT = "A tokenizer.json is written by the tokenizers library."


class TokenizerFile:
    """What a tokenizer.json says; its truncation, padding and post-processor are not used.

    Args:
        file: the path.
        kind: the algorithm it must hold: "BPE" or "Unigram".
        owner: the class that reads it, for messages.

    Raises:
        TokenizationError: the file is missing, broken, or another tokenizer's.
    """

    def __init__(self, file: Path, kind: str, owner: str) -> None:
        self.file = file
        self._content = read_json(file, TokenizationError, _HINT)
        model = self._content.get("model")
        found = _kind(model) if isinstance(model, dict) else None
        if found != kind:
            what = f"a {found} model" if found else "no model"
            raise TokenizationError(f"{file} holds {what}, but {owner} needs {kind}. Choose the class that fits.")
        self.model: dict[str, Any] = self._content["model"]

    def added_tokens(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        tokens: dict[int, AddedToken] = {}
        for entry in self._content.get("added_tokens") or ():
            if not isinstance(entry, dict) or not isinstance(entry.get("id"), int):
                raise TokenizationError(f"{self.file} holds {entry!r:.80} as an added token. {_HINT}")
            flags = {name: value for name, value in entry.items() if name != "id"}
            tokens[entry["id"]] = AddedToken.from_json(flags, self.file.name)
        return tokens

    def pieces(self) -> list[str]:
        """The tokens of the model in the order of their ids."""
        vocab = self.model.get("vocab")
        if isinstance(vocab, dict):
            return sorted(vocab, key=vocab.__getitem__)
        return [entry[0] for entry in vocab or ()]

    def merges(self) -> tuple[tuple[str, str], ...]:
        """The merges of a BPE model, which newer files hold as pairs and older ones as text."""
        merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in self.model.get("merges") or ()]
        return tuple((left, right) for left, right in merges)

    def part_types(self, name: str) -> set[str]:
        """The types in "normalizer", "pre_tokenizer" or "decoder", those inside a Sequence included."""
        part = self._content.get(name)
        if not isinstance(part, dict):
            return set()
        inside = [*part.get("normalizers", ()), *part.get("pretokenizers", ()), *part.get("decoders", ())]
        return {str(each.get("type")) for each in (part, *inside)}

    def pipeline(self) -> Any:
        """The `tokenizers.Tokenizer` of the file."""
        from tokenizers import Tokenizer as Pipeline

        try:
            return Pipeline.from_str(json.dumps(self._content))
        except Exception as problem:  # the library raises nothing narrower
            raise TokenizationError(f"{self.file} is refused by the tokenizers library: {problem}. {_HINT}") from None


def write_tokenizer_json(folder: Path, prefix: str, pipeline: Mapping[str, Any], vocabulary: Vocabulary) -> Path:
    """Writes a tokenizer.json for other libraries; `pipeline` is of `SubwordModel.describe`, `prefix` for the name."""
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
    return write_text(folder / f"{prefix}{TOKENIZER_FILE}", json.dumps(content, ensure_ascii=False))


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
