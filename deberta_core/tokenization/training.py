"""Training vocabularies: what is asked of the texts, and SentencePiece with the settings of DeBERTa v3."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from deberta_core.errors import InputError, TokenizationError, shown
from deberta_core.tokenization.text_encoder import check_text

# As the trainer_spec and normalizer_spec in v3's spm.model, where they say something about the result.
V3_SETTINGS: dict[str, Any] = {
    "model_type": "unigram",
    "normalization_rule_name": "nmt_nfkc",
    "character_coverage": 0.999997,
    "max_sentencepiece_length": 32,
    "byte_fallback": True,
    "pad_id": 0,
    "bos_id": 1,
    "eos_id": 2,
    "unk_id": 3,
    # Not v3's: sentences over its 4192 bytes would be skipped silently.
    "max_sentence_length": 2**30,
    "num_threads": 16,  # SentencePiece's default; fixed, because sums of floats depend on it
    "minloglevel": 3,
}
# Arguments of SentencePieceTrainer that a caller may set.
TRAINING_OPTIONS = (
    "byte_fallback",
    "character_coverage",
    "hard_vocab_limit",
    "input_sentence_size",
    "max_sentencepiece_length",
    "normalization_rule_name",
    "num_sub_iterations",
    "seed_sentencepiece_size",
    "shrinking_factor",
    "split_by_number",
    "split_by_unicode_script",
    "split_digits",
    "train_extremely_large_corpus",
    "user_defined_symbols",
)
_LONG_SENTENCE = 10_000  # characters
_TOO_SMALL = r"smaller than required_chars\. (\d+) vs (\d+)"
# What SentencePiece says, and what it means; the groups of the first fill the second.
_MEANINGS = (
    (
        r"Vocabulary size too high \((\d+)\)\..* <= (\d+)",
        "vocab_size={} is too large for these texts, which give at most {} tokens. Use that, or more text.",
    ),
    (
        _TOO_SMALL,
        "vocab_size={} is too small: special tokens, bytes and characters alone are {}. Use more, or lower "
        "character_coverage.",
    ),
)


def train_sentencepiece(
    texts: Iterable[str | list[str]],
    vocab_size: int,
    prepare: Callable[[str], list[str]],
    pieces: Mapping[str, str],
    options: Mapping[str, Any],
) -> bytes:
    """Trains a vocabulary in memory.

    Args:
        texts: texts, or batches of texts, read once.
        vocab_size: number of tokens, special ones and bytes included.
        prepare: what happens to a text before SentencePiece sees it.
        pieces: names of the special tokens, by the trainer's argument (`pad_piece`, ...).
        options: of TRAINING_OPTIONS, in place of v3's. Without `hard_vocab_limit` the vocabulary gets the nearest size
            that the texts allow; they are then held in memory.

    Returns:
        The content of spm.model.

    Raises:
        TokenizationError: the texts do not allow such a vocabulary.
        InputError: `vocab_size` is no positive int, or a text is not a str.
    """
    checked = training_texts(texts, vocab_size)
    problems: list[BaseException] = []
    settings = {**V3_SETTINGS, **pieces, **options}
    sentences: Iterator[str] = _sentences(checked, prepare, problems)
    # Of blank texts alone SentencePiece before 0.2.3 breaks the process down.
    first = next((sentence for sentence in sentences if sentence.strip()), None)
    if first is None:
        raise TokenizationError("texts hold nothing to train on. Give texts that are not blank.")
    sentences = chain([first], sentences)
    try:
        if settings.get("hard_vocab_limit", True):
            return _train(sentences, vocab_size, settings)
        kept = list(sentences)
        try:
            return _train(iter(kept), vocab_size, settings)
        except RuntimeError as problem:
            if not (found := re.search(_TOO_SMALL, str(problem))):
                raise
            return _train(iter(kept), int(found[2]), settings)
    except (RuntimeError, ValueError) as problem:
        raise (problems[0] if problems else TokenizationError(_meaning(str(problem)))) from None


def training_texts(texts: Iterable[str | list[str]], vocab_size: int) -> Iterator[str]:
    """Gives the texts of texts and batches of texts one by one.

    Raises:
        TokenizationError: a text is not valid Unicode.
        InputError: `vocab_size` is no positive int, `texts` cannot be read, or a text is not a str.
    """
    if not isinstance(vocab_size, int) or isinstance(vocab_size, bool) or vocab_size < 1:
        raise InputError(f"vocab_size={shown(vocab_size)} is not a positive int. Give a number of tokens.")
    try:
        if isinstance(texts, str | bytes):
            raise TypeError
        texts = iter(texts)
    except TypeError:
        raise InputError(
            f"texts is a {type(texts).__name__}. Give an iterable of texts, or of batches of texts."
        ) from None
    flat = chain.from_iterable(item if isinstance(item, list | tuple) else [item] for item in texts)
    return (check_text(text, f"texts[{number}]") for number, text in enumerate(flat))


def _train(sentences: Iterator[str], vocab_size: int, settings: Mapping[str, Any]) -> bytes:
    from sentencepiece import SentencePieceTrainer

    model = io.BytesIO()
    SentencePieceTrainer.train(sentence_iterator=sentences, model_writer=model, vocab_size=vocab_size, **settings)
    return model.getvalue()


def _sentences(
    texts: Iterable[str], prepare: Callable[[str], list[str]], problems: list[BaseException]
) -> Iterator[str]:
    """Yields the prepared texts; SentencePiece garbles what is raised here, so that it is kept in `problems`."""
    try:
        for text in texts:
            for sentence in prepare(text):
                yield from _cut(sentence)
    except BaseException as problem:
        problems.append(problem)
        raise


def _cut(sentence: str) -> Iterator[str]:
    """Cuts a sentence at spaces: no piece holds one, and SentencePiece's time grows faster than a sentence's length."""
    start = 0
    while len(sentence) - start > _LONG_SENTENCE:
        end = sentence.rfind(" ", start + 1, start + _LONG_SENTENCE)
        if end < 0:  # one word: it must stay whole
            break
        yield sentence[start:end]
        start = end
    yield sentence[start:]


def _meaning(message: str) -> str:
    for pattern, meaning in _MEANINGS:
        if found := re.search(pattern, message, flags=re.DOTALL):
            return meaning.format(*found.groups())
    detail = re.sub(r"^[A-Z_]+: (src/\S+ )?", "", message.strip()).rstrip(".")  # without status, file and line
    return f"SentencePiece cannot train: {detail}. Check vocab_size and the options."
