"""What every tokenizer can do.

It is made of parts, which do the work:

* `SubwordModel` (`subwords.py`): the library that turns texts into pieces, one class for each;
* `Vocabulary` (`vocabulary.py`): the pieces, added tokens and roles, and their ids;
* `TextEncoder` (`text_encoder.py`): texts to rows of ids, with special tokens, windows, padding, tensors;
* `token_methods.py`, `id_rows.py`, `saving.py`: the methods that work on tokens, on rows of ids, on files;
* `Layout` and `Folder` (`folder.py`), `settings.py`: the files;
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from deberta_core.errors import InputError, MissingName, NotOffered
from deberta_core.hub import split_hub_options
from deberta_core.names.rows import (
    Accepted,
    Refused,
    Renamed,
    other_attribute,
    own_keywords,
    unknown_name,
    with_other_names,
)
from deberta_core.names.tokenizers import TOKENIZER_ATTRIBUTES, TOKENIZER_CALL, TOKENIZER_LOADING
from deberta_core.tokenization import id_rows, saving, token_methods
from deberta_core.tokenization.added_tokens import (
    AddedToken,
    SpecialToken,
    SpecialTokenId,
    SpecialTokenIds,
    SpecialTokens,
)
from deberta_core.tokenization.batch_encoding import BatchEncoding
from deberta_core.tokenization.cutting import CutOptions
from deberta_core.tokenization.folder import Layout, read_folder
from deberta_core.tokenization.lengths import length_rule, warn_of_length
from deberta_core.tokenization.options import CHECKS, DEFAULTS, SAVED_OPTIONS, checked_options
from deberta_core.tokenization.subwords import SubwordModel
from deberta_core.tokenization.text_encoder import TextEncoder, collect_texts
from deberta_core.tokenization.tokenizer_json import pipeline_of
from deberta_core.tokenization.vocabulary import Vocabulary


class Tokenizer:
    """Texts to model inputs and back.

    A class of a family says what its files and options are, makes its model, and has its way of decoding and training.
    Calls from several threads are safe as long as no thread changes the tokenizer. Special tokens (`pad_token`,
    `pad_token_id`, ...) and what `options.CHECKS` names may be assigned; everything else is fixed when it is made.
    """

    layout: ClassVar[Layout]
    own_options: ClassVar[tuple[str, ...]]  # further arguments, which are attributes too and are saved
    option_defaults: ClassVar[Mapping[str, Any]] = {}  # where they differ from options.DEFAULTS
    spaces_around_added_tokens: ClassVar[bool]  # when decoding those without a role, as SentencePiece ones do upstream
    model_max_length: int
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    split_special_tokens: bool
    model_input_names: list[str]
    name_or_path: str
    deprecation_warnings: dict[str, bool]  # what was warned of already
    bos_token, bos_token_id = SpecialToken(), SpecialTokenId()
    eos_token, eos_token_id = SpecialToken(), SpecialTokenId()
    unk_token, unk_token_id = SpecialToken(), SpecialTokenId()
    sep_token, sep_token_id = SpecialToken(), SpecialTokenId()
    pad_token, pad_token_id = SpecialToken(), SpecialTokenId()
    cls_token, cls_token_id = SpecialToken(), SpecialTokenId()
    mask_token, mask_token_id = SpecialToken(), SpecialTokenId()
    additional_special_tokens, additional_special_tokens_ids = SpecialTokens(), SpecialTokenIds()
    encode = token_methods.encode
    encode_plus = token_methods.encode_plus
    tokenize = token_methods.tokenize
    convert_tokens_to_ids = token_methods.convert_tokens_to_ids
    convert_ids_to_tokens = token_methods.convert_ids_to_tokens
    decode = token_methods.decode
    batch_decode = token_methods.batch_decode
    add_tokens = token_methods.add_tokens
    add_special_tokens = token_methods.add_special_tokens
    save_pretrained = saving.save_pretrained
    save_vocabulary = saving.save_vocabulary
    train_new_from_iterator = saving.train_new_from_iterator
    prepare_for_model = id_rows.prepare_for_model
    truncate_sequences = id_rows.truncate_sequences
    build_inputs_with_special_tokens = id_rows.build_inputs_with_special_tokens
    create_token_type_ids_from_sequences = id_rows.create_token_type_ids_from_sequences
    get_special_tokens_mask = id_rows.get_special_tokens_mask
    num_special_tokens_to_add = id_rows.num_special_tokens_to_add

    def __init__(
        self, model: SubwordModel, cut: CutOptions, options: Mapping[str, Any], files: Mapping[str, Any]
    ) -> None:
        settings = checked_options(options, self.own_options, self.option_defaults)
        self.name_or_path, self.deprecation_warnings = "", {}
        for name in SAVED_OPTIONS:
            setattr(self, name, settings[name])
        self._extra: dict[str, Any] = {}
        self._accepted = {name: value for name, value in options.items() if name in TOKENIZER_ATTRIBUTES}
        self._subwords, self._cut = model, cut
        # A vocabulary that is no path is in the model already.
        self._files = {name: None if isinstance(file, bytes) else file for name, file in files.items()}
        self._set_vocabulary(Vocabulary(model, settings))

    def __getattr__(self, name: str) -> Any:
        if name == "backend_tokenizer":  # Python asks again here where the property has none
            raise NotOffered(f"{type(self).__name__} has no backend_tokenizer. Load it with {type(self).__name__}Fast.")
        accepted = vars(self).get("_accepted", {})
        return accepted[name] if name in accepted else other_attribute(TOKENIZER_ATTRIBUTES, self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        row, own = TOKENIZER_ATTRIBUTES.get(name), getattr(type(self), name, None)
        if isinstance(row, Renamed):
            name, own = row.ours, getattr(type(self), row.ours, None)
        if name in CHECKS:
            value = CHECKS[name](name, value)
        elif (isinstance(row, Accepted) and value != row.reads_as) or (isinstance(own, property) and not own.fset):
            raise InputError(f"{name} is fixed when a tokenizer is made. Load it with {name}=..., if it is an option.")
        elif isinstance(row, Refused):
            raise NotOffered(f"{name} cannot be assigned. {row.instead}")
        elif own is None and not name.startswith("_"):
            known = [*CHECKS, *(known for known in DEFAULTS if known != "added_tokens_decoder")]
            raise MissingName(unknown_name("attribute", name, known))
        object.__setattr__(self, name, value)
        if name == "split_special_tokens" and "_vocabulary" in vars(self):
            self._set_vocabulary(self._vocabulary)

    def __call__(
        self,
        text: Any = None,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        split_special_tokens: bool | None = None,
        add_prefix_space: bool | None = None,
        verbose: bool = True,
        **others: Any,
    ) -> BatchEncoding:
        """Makes model inputs.

        Args:
            text: a text; or a batch: a list, tuple or array of texts, or of pairs of texts.
            text_pair: the second text, or a batch of them.
            add_special_tokens: whether rows get [CLS] and [SEP].
            padding: False; True or "longest", to the longest row; "max_length".
            truncation: False; True or "longest_first", "only_first", "only_second"; None truncates as True does if
                `max_length` is given and `padding` is not.
            max_length: in tokens, special ones included; None: `model_max_length`.
            stride: how many tokens two neighbouring windows share.
            is_split_into_words: whether a text is a list of words; each is tokenized as if it stood after a space.
            pad_to_multiple_of: rounds the padded length up.
            padding_side: "right" or "left"; None: the tokenizer's.
            return_tensors: None for lists, "np", "pt" or "tf"; tensors have an axis for rows even for a single text.
            return_token_type_ids: whether `token_type_ids` are made; None: if `model_input_names` has them.
            return_attention_mask: whether `attention_mask` is made; None: if `model_input_names` has it.
            return_overflowing_tokens: makes rows of what truncation drops too: windows over one text, with an axis
                for rows even for a single text; `overflow_to_sample_mapping` tells which text a row is from.
            return_special_tokens_mask: adds `special_tokens_mask`, 1 for [CLS], [SEP] and padding.
            return_offsets_mapping: adds `offset_mapping`, the characters each token covers in its text (in its word, if
                texts are pre-split): in order, disjoint, without the space before a token; (0, 0) where
                `special_tokens_mask` is 1.
            return_length: adds `length`, the number of tokens of a row without padding.
            split_special_tokens: cuts special tokens in a text like other text; None: as the tokenizer is set.
            add_prefix_space: puts a space before a text where none is (v1); None: as the tokenizer was made.
            verbose: False does not warn of rows longer than `model_max_length`, which is done once.
            **others: names of `deberta_core.names.tokenizers.TOKENIZER_CALL`.

        Returns:
            `input_ids`, `token_type_ids`, `attention_mask` and what else was asked for: [B, L], `offset_mapping`
            [B, L, 2], `length` and `overflow_to_sample_mapping` [B]; without the axis B for a single text.

        Raises:
            InputError: an argument is unknown or has a value it cannot have, or a row cannot be truncated as asked.
            TokenizationError: a text is not valid Unicode.
        """
        if others:
            given = {name: value for name, value in locals().items() if name not in ("self", "others")}
            return self(**{**given, **own_keywords(TOKENIZER_CALL, others, given)})
        rule, overlap = None, stride if return_overflowing_tokens else None
        unlimited = truncation is None and max_length is None and pad_to_multiple_of is None and padding_side is None
        if not unlimited or padding is not False or overlap is not None:
            rule = length_rule(self, padding, truncation, max_length, pad_to_multiple_of, padding_side, overlap)
        usual = self.model_input_names
        wanted = {
            "input_ids": True,
            "token_type_ids": "token_type_ids" in usual if return_token_type_ids is None else return_token_type_ids,
            "attention_mask": "attention_mask" in usual if return_attention_mask is None else return_attention_mask,
            "special_tokens_mask": return_special_tokens_mask,
            "offset_mapping": return_offsets_mapping,
            "length": return_length,
            "overflow_to_sample_mapping": return_overflowing_tokens,
        }
        names = [name for name in wanted if wanted[name]]
        texts = collect_texts(text, text_pair, is_split_into_words)
        encoder = self._encoder
        if split_special_tokens is not None or add_prefix_space is not None:
            encoder = self._other_encoder(split_special_tokens, add_prefix_space)
        encoding, rows = encoder.encode(texts, names, rule, add_special_tokens, return_tensors)
        if max_length is None and verbose and (longest := max(map(len, rows), default=0)) > self.model_max_length:
            warn_of_length(self.deprecation_warnings, longest, self.model_max_length)
        return encoding

    def pad(
        self,
        encoded_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: str | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Brings encoded rows to one length, adding the attention mask if it is missing.

        Args:
            encoded_inputs: a batch of rows by name, one row, or a list of single rows; the first of
                `model_input_names`, `input_ids`, must be there.
                Entries that are not inputs of the model, such as labels, are not padded.
            padding: as in a call.
            max_length: as in a call.
            pad_to_multiple_of: as in a call.
            padding_side: as in a call.
            return_attention_mask: as in a call.
            return_tensors: as in a call.
            verbose: changes nothing.

        Raises:
            InputError: `input_ids` is missing, or an argument has a value it cannot have.
        """
        rule = length_rule(self, padding, False, max_length, pad_to_multiple_of, padding_side)
        mask = "attention_mask" in self.model_input_names if return_attention_mask is None else return_attention_mask
        return self._encoder.pad(encoded_inputs, self.model_input_names[0], rule, return_tensors, mask)

    @abstractmethod
    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Joins tokens to the text they stand for."""

    @property
    def vocab_size(self) -> int:
        """Number of tokens of the model, without those added after it."""
        return self._subwords.vocab_size

    def __len__(self) -> int:
        return len(self._vocabulary)

    def get_vocab(self) -> dict[str, int]:
        """All tokens with their ids, the added ones included."""
        return self._vocabulary.all_ids()

    @property
    def vocab(self) -> dict[str, int]:
        """All tokens with their ids, as `get_vocab`."""
        return self.get_vocab()

    def get_added_vocab(self) -> dict[str, int]:
        """The added tokens with their ids."""
        return dict(self._vocabulary.ids)

    added_tokens_encoder = property(get_added_vocab)

    @property
    def special_tokens_map(self) -> dict[str, Any]:
        """The special tokens by role; a list for "additional_special_tokens"."""
        return self._vocabulary.special

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(self._vocabulary.by_id)

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return list(self._vocabulary.all_special)

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return [self._vocabulary.ids[token] for token in self.all_special_tokens]

    @property
    def all_special_tokens_extended(self) -> list[Any]:
        """Every special token once, with its flags: `tokenizers.AddedToken`, as in transformers."""
        return list(map(self._vocabulary.for_library, self.all_special_tokens))

    @property
    def special_tokens_map_extended(self) -> dict[str, Any]:
        """The special tokens by role, with their flags: `tokenizers.AddedToken`, and a list of them."""
        token, roles = self._vocabulary.for_library, self.special_tokens_map
        return {name: list(map(token, role)) if isinstance(role, list) else token(role) for name, role in roles.items()}

    @property
    def is_fast(self) -> bool:
        """Whether `save_pretrained` writes a tokenizer.json; ids, offsets and windows are those of both classes."""
        return self.layout.has_tokenizer_json and self.layout.writes_tokenizer_json

    @property
    def backend_tokenizer(self) -> Any:
        """A `tokenizers.Tokenizer` made of the tokenizer.json that is saved; of an spm.model it is approximate.

        Raises:
            NotOffered: the class writes no tokenizer.json.
        """
        if not self.layout.has_tokenizer_json:
            raise AttributeError
        return pipeline_of(self._subwords.describe(self._cut), self._vocabulary)

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The arguments that make such a tokenizer: a copy."""
        return {**self._files, **self._options(), **self._vocabulary.special}

    @property
    def max_len_single_sentence(self) -> int:
        """Tokens that a text may have, special ones aside."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """Tokens that two texts may have together, special ones aside."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    @classmethod
    @abstractmethod
    def train(cls, texts: Iterable[str | list[str]], vocab_size: int, **options: Any) -> Self:
        """Trains a new vocabulary."""

    @classmethod
    @with_other_names(TOKENIZER_LOADING)
    def from_pretrained(cls, folder: str | Path, **overrides: Any) -> Self:
        """Loads a folder as published, or as `save_pretrained` writes it, here or in transformers 4 and 5.

        Args:
            folder: the folder, with the vocabulary files; the JSON files may be missing. Or a hub id.
            **overrides: arguments of the constructor that replace what the folder says; and for a hub id the options
                of `deberta_core.hub.local_folder` (`revision`, `cache_dir`, `local_files_only`, `token`).

        Raises:
            TokenizationError: a file is missing or broken, two contradict each other, or the folder is another class's.
            InputError: an override is unknown or has a value it cannot have.
        """
        hub, overrides = split_hub_options(overrides)
        found = read_folder(folder, cls.layout, cls.__name__, (*cls.own_options, *SAVED_OPTIONS), hub)
        make: Callable[..., Self] = cls
        tokenizer = make(**{**found.files, **found.settings.options, **overrides})
        found.check(tokenizer._subwords)
        tokenizer._extra, tokenizer.name_or_path = found.settings.extra, str(folder)
        return tokenizer

    def __repr__(self) -> str:
        sizes = f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}"
        return f"{type(self).__name__}({sizes}, special_tokens={self.special_tokens_map})"

    def _tokenizer_class(self) -> str:
        return self.layout.tokenizer_class

    def _set_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._encoder = TextEncoder(vocabulary, self._cut, self.split_special_tokens)

    def _other_encoder(self, split: bool | None, prefix: bool | None) -> TextEncoder:
        """An encoder that cuts texts in another way than the tokenizer is set to."""
        vocabulary, cut = self._with_prefix(prefix)
        split = (
            self.split_special_tokens
            if split is None
            else CHECKS["split_special_tokens"]("split_special_tokens", split)
        )
        if vocabulary is self._vocabulary and split == self.split_special_tokens:
            return self._encoder
        return TextEncoder(vocabulary, cut, split)

    def _with_prefix(self, add_prefix_space: bool | None) -> tuple[Vocabulary, CutOptions]:
        """The vocabulary with a space before texts, where the class can do without."""
        return self._vocabulary, self._cut

    def _options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in (*self.own_options, *SAVED_OPTIONS)}
