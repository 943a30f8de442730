"""The tokenizer of DeBERTa v2 and v3: SentencePiece itself, so that the ids are those the models were trained with."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self, Unpack

from deberta_core.errors import InputError, TokenizationError
from deberta_core.files import atomic_file
from deberta_core.tokenization.base import Tokenizer
from deberta_core.tokenization.options import DEFAULTS, SAVED_OPTIONS, TokenizerOptions, check_bool, checked_options
from deberta_core.tokenization.punctuation import split_at_punctuation
from deberta_core.tokenization.settings import TOKEN_OPTIONS
from deberta_core.tokenization.training import TRAINING_OPTIONS, train_sentencepiece

# The arguments of SentencePiece's trainer that name v3's first four tokens.
_PIECES = {"pad_piece": "pad_token", "bos_piece": "cls_token", "eos_piece": "sep_token", "unk_piece": "unk_token"}
# In characters: below, starting threads (0.3 to 0.5 ms) takes longer than they save; measured with two cores.
_WORTH_THREADS = 8192


class DebertaV2Tokenizer(Tokenizer):
    """SentencePiece with DeBERTa's special tokens; [MASK] has the first id after the vocabulary.

    Args:
        vocab_file: the path of spm.model, or its content as bytes.
        do_lower_case: lower-cases everything but special tokens.
        split_by_punct: makes every punctuation mark a word of its own before SentencePiece sees the text.
        sp_model_kwargs: arguments of SentencePieceProcessor, such as `enable_sampling`, `nbest_size` and `alpha`.
        options: see `TokenizerOptions`.

    Raises:
        TokenizationError: the vocabulary is missing or broken.
        InputError: an option is unknown or has a value it cannot have.
    """

    tokenizer_class = "DebertaV2Tokenizer"
    vocabulary_files = ("spm.model",)
    own_options = ("do_lower_case", "split_by_punct", "sp_model_kwargs")

    def __init__(
        self,
        vocab_file: str | Path | bytes,
        do_lower_case: bool = False,
        split_by_punct: bool = False,
        sp_model_kwargs: dict[str, Any] | None = None,
        **options: Unpack[TokenizerOptions],
    ) -> None:
        check_bool("do_lower_case", do_lower_case)
        check_bool("split_by_punct", split_by_punct)
        self.do_lower_case = do_lower_case
        self.split_by_punct = split_by_punct
        self.sp_model_kwargs = dict(sp_model_kwargs or {})
        self._model = vocab_file if isinstance(vocab_file, bytes) else _read_model(Path(vocab_file))
        source = "vocab_file" if isinstance(vocab_file, bytes) else str(vocab_file)
        self._processor = _make_processor(self._model, self.sp_model_kwargs, source)
        super().__init__(**options)

    @classmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> Self:
        """Trains a new vocabulary with v3's settings; equal texts give an equal vocabulary.

        Args:
            texts: texts, or batches of texts, read once.
            vocab_size: number of tokens, special ones and 256 bytes included; [MASK] is added after them.
            options: arguments of the constructor, and those named in `training.TRAINING_OPTIONS`.

        Raises:
            TokenizationError: the texts do not allow a vocabulary of this size.
            InputError: an option is unknown, or a text is not a str.
        """
        training = {name: options.pop(name) for name in TRAINING_OPTIONS if name in options}
        shared = {name: value for name, value in options.items() if name not in cls.own_options}
        settings = checked_options(shared, (*cls.own_options, *TRAINING_OPTIONS))
        pieces = {piece: str(settings[name] or DEFAULTS[name]) for piece, name in _PIECES.items()}
        lower, split = options.get("do_lower_case", False), options.get("split_by_punct", False)
        model = train_sentencepiece(texts, vocab_size, partial(_words, lower=lower, split=split), pieces, training)
        return cls(model, **options)

    def train_new_from_iterator(
        self, text_iterator: Iterable[str | list[str]], vocab_size: int, **options: Any
    ) -> Self:
        """Trains a new vocabulary for a tokenizer with this one's options and special tokens; see `train`."""
        own = {name: getattr(self, name) for name in (*self.own_options, *SAVED_OPTIONS)}
        roles = {name: self._role(self.special_tokens_map.get(name)) for name in TOKEN_OPTIONS}
        roles["additional_special_tokens"] = roles["additional_special_tokens"] or ()
        return self.train(text_iterator, vocab_size, **{**own, **roles, **options})

    @property
    def vocab_size(self) -> int:
        """Number of tokens in spm.model; [MASK] is not among them."""
        return int(self._processor.vocab_size())

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for; special tokens stay as they are, after a space."""
        special = set(self.all_special_tokens)
        text, pieces, after_special = "", [], False
        for token in tokens:
            if token not in special:
                pieces.append(token)
            else:
                text += ("" if after_special else " ") + self._processor.decode_pieces(pieces) + token
                pieces = []
            after_special = token in special
        return (text + str(self._processor.decode_pieces(pieces))).strip()

    def save_vocabulary(self, save_directory: str | Path) -> tuple[str, ...]:
        """Writes spm.model into an existing folder and returns its path."""
        file = Path(save_directory) / self.vocabulary_files[0]
        with atomic_file(file) as temporary:
            temporary.write_bytes(self._model)
        return (str(file),)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_processor"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._processor = _make_processor(self._model, self.sp_model_kwargs, "The pickled tokenizer")

    def _split(self, text: str) -> list[str]:
        return self._added.split(self._added.lower(text) if self.do_lower_case else text)

    def _ids_of(self, parts: list[str]) -> list[list[int]]:
        return self._run(parts, int)

    def _pieces_of(self, part: str) -> list[str]:
        return self._run([part], str)[0]

    def _run(self, parts: list[str], kind: Any) -> list[list[Any]]:
        if not (self.do_lower_case or self.split_by_punct):
            return self._sentencepiece(parts, kind)
        words = [_words(part, self.do_lower_case, self.split_by_punct) for part in parts]
        encoded = iter(self._sentencepiece(list(chain.from_iterable(words)), kind))
        return [list(chain.from_iterable(islice(encoded, len(row)))) for row in words]

    def _sentencepiece(self, words: list[str], kind: Any) -> list[list[Any]]:
        # A list goes to threads, which makes sampling depend on their timing.
        if sum(map(len, words)) < _WORTH_THREADS or self.sp_model_kwargs.get("enable_sampling"):
            return [self._processor.encode(word, out_type=kind) for word in words]
        encoded: list[list[Any]] = self._processor.encode(words, out_type=kind)
        return encoded

    def _piece_to_id(self, piece: str) -> int | None:
        index = int(self._processor.piece_to_id(piece))
        return index if self._processor.id_to_piece(index) == piece else None

    def _id_to_piece(self, index: int) -> str:
        return str(self._processor.id_to_piece(index))

    @property
    def _unknown_id(self) -> int:
        return int(self._processor.unk_id())


def _words(text: str, lower: bool, split: bool) -> list[str]:
    text = text.lower() if lower else text
    return split_at_punctuation(text) if split else [text]


def _read_model(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as problem:
        raise TokenizationError(f"{file} cannot be read: {problem.strerror}. Give the path of an spm.model.") from None


def _make_processor(model: bytes, arguments: dict[str, Any], source: str) -> Any:
    from sentencepiece import SentencePieceProcessor

    if model.startswith(b"version https://git-lfs"):
        raise TokenizationError(f"{source} is a Git LFS pointer, not the vocabulary. Run: git lfs pull")
    try:
        processor = SentencePieceProcessor(model_proto=model, **arguments)
        processor.encode("")
    except (TypeError, ValueError) as problem:
        raise InputError(f"sp_model_kwargs={arguments!r} is refused by SentencePiece: {problem}") from None
    except RuntimeError:
        processor = None
    if not model or processor is None:
        raise TokenizationError(
            f"{source} is no SentencePiece model: its {len(model)} bytes are cut off or something else. Copy it again."
        )
    return processor
