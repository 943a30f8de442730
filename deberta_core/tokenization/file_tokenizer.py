"""The tokenizers of DeBERTa models with another vocabulary: WordPiece, WordLevel, or what else a file defines."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Unpack

from deberta_core.arguments import to_path
from deberta_core.errors import InputError, NotOffered, TokenizationError
from deberta_core.files import read_content
from deberta_core.tokenization.added_tokens import SPECIAL_NAMES
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.folder import Layout
from deberta_core.tokenization.options import DEFAULTS, TokenizerOptions, check_bool
from deberta_core.tokenization.text_encoder import tokens_of
from deberta_core.tokenization.tokenizer import Tokenizer
from deberta_core.tokenization.tokenizer_json import TokenizerFile
from deberta_core.tokenization.tokenizers_model import TokenizersModel, library_errors

VOCABULARY_FILE = "vocab.txt"
_SPACES = "▁Ġ"  # what stands for a space in tokens, in the vocabularies that have such a character


class FileTokenizer(Tokenizer):
    """Whatever tokenizer a tokenizer.json defines, or the WordPiece of a vocab.txt, in rows of DeBERTa.

    `AutoTokenizer` gives it for a DeBERTa whose vocabulary is none of the published ones. Ids and offsets are those of
    the `tokenizers` library. Special tokens that the folder does not name are BERT's, where the vocabulary has them.

    Args:
        tokenizer_file: the path of a tokenizer.json.
        vocab_file: the path of a vocab.txt, one token a line; read only if there is no `tokenizer_file`.
        do_lower_case: lower-cases texts. This and the next two are options of BERT's normalizer, and change nothing
            where a tokenizer.json has another; None: as the file says, True for a vocab.txt.
        tokenize_chinese_chars: makes every Chinese character a word; None likewise.
        strip_accents: takes accents away; None: if `do_lower_case`, or as the file says where all three are None.
        options: see `TokenizerOptions`.

    Raises:
        TokenizationError: the file is missing or broken.
        InputError: an option is unknown or has a value it cannot have, or there is no file.
    """

    layout: ClassVar = Layout(
        tokenizer_class="PreTrainedTokenizerFast",
        vocabulary={"vocab_file": VOCABULARY_FILE},
        foreign=(),
        model_kind=None,
        has_tokenizer_json=True,
        prefers_tokenizer_json=True,
    )
    own_options = ("do_lower_case", "tokenize_chinese_chars", "strip_accents")
    spaces_around_added_tokens = False
    _subwords: TokenizersModel
    do_lower_case = property(lambda self: self._bert("lowercase"), doc="Whether texts are lower-cased.")
    tokenize_chinese_chars = property(
        lambda self: self._bert("handle_chinese_chars"), doc="Whether every Chinese character is a word."
    )
    strip_accents = property(lambda self: self._bert("strip_accents"), doc="Whether accents are taken away.")

    def __init__(
        self,
        tokenizer_file: str | Path | None = None,
        vocab_file: str | Path | None = None,
        do_lower_case: bool | None = None,
        tokenize_chinese_chars: bool | None = None,
        strip_accents: bool | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        given = (do_lower_case, tokenize_chinese_chars, strip_accents)
        for name, value in zip(self.own_options, given, strict=True):
            if value is not None:
                check_bool(name, value)
        if tokenizer_file is not None:
            file = TokenizerFile(to_path("tokenizer_file", tokenizer_file), (), type(self).__name__)
            pipeline = file.pipeline()
        elif vocab_file is not None:
            unknown = options.get("unk_token") or DEFAULTS["unk_token"]
            pipeline = _word_pieces(to_path("vocab_file", vocab_file), str(unknown))
        else:
            raise InputError("tokenizer_file and vocab_file are both None. Give the path of one of them.")
        if _is_bert(pipeline) and given != (None, None, None):
            from tokenizers.normalizers import BertNormalizer

            pipeline.normalizer = BertNormalizer(
                clean_text=pipeline.normalizer.clean_text,
                lowercase=do_lower_case is not False,
                handle_chinese_chars=tokenize_chinese_chars is not False,
                strip_accents=strip_accents,
            )
        model = TokenizersModel(pipeline, _SPACES, finds_added=True)
        added = {str(token) for token in (options.get("added_tokens_decoder") or {}).values()}
        roles: dict[str, Any] = {}
        for name in SPECIAL_NAMES:
            default = {"bos_token": None, "eos_token": None}.get(name, DEFAULTS[name])
            known = default is not None and (str(default) in added or model.piece_to_id(str(default)) is not None)
            roles[name] = default if known else None
        files = {"tokenizer_file": tokenizer_file, "vocab_file": vocab_file}
        super().__init__(model, CutOptions(), {**roles, **options}, files)

    @classmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> NoReturn:
        """Is not offered.

        Raises:
            NotOffered: always.
        """
        raise NotOffered(
            f"{cls.__name__} trains no vocabulary. Use DebertaV2Tokenizer.train, or the tokenizers library."
        )

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for, as the decoder of the file defines it."""
        return self._subwords.join(tokens_of(tokens, "tokens"))

    def _tokenizer_class(self) -> str:
        return "BertTokenizer" if _is_bert(self._subwords.pipeline) else self.layout.tokenizer_class

    def _options(self) -> dict[str, Any]:
        own = () if _is_bert(self._subwords.pipeline) else self.own_options
        return {name: value for name, value in super()._options().items() if name not in own}

    def _bert(self, name: str) -> bool | None:
        """An option of BERT's normalizer; None where the tokenizer has another."""
        pipeline = self._subwords.pipeline
        return getattr(pipeline.normalizer, name) if _is_bert(pipeline) else None


def _is_bert(pipeline: Any) -> bool:
    return type(pipeline.normalizer).__name__ == "BertNormalizer"


def _word_pieces(file: Path, unknown: str) -> Any:
    from tokenizers import Tokenizer as Pipeline
    from tokenizers import decoders, models, normalizers, pre_tokenizers

    try:
        text = read_content(file, TokenizationError, "Copy it again.").decode("utf-8")
    except UnicodeDecodeError as problem:
        raise TokenizationError(f"{file} cannot be read: {problem}. Copy it again.") from None
    lines = text.removesuffix("\n").split("\n")
    vocabulary = {line.rstrip("\r"): index for index, line in enumerate(lines)}
    if len(vocabulary) != len(lines) or unknown not in vocabulary:
        what = "a token twice" if len(vocabulary) != len(lines) else f"no unknown token {unknown!r}"
        raise TokenizationError(f"{file} holds {what}. A vocab.txt has one token a line, the unknown one among them.")
    with library_errors(f"{file} is refused by the tokenizers library", "Copy it again."):
        pipeline = Pipeline(models.WordPiece(vocabulary, unk_token=unknown, max_input_chars_per_word=100))
    pipeline.normalizer = normalizers.BertNormalizer()
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return pipeline
