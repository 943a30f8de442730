"""Which column of a file is what: said by the user, or guessed from its name; the one place where that is decided."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deberta_core.errors import InputError, name_list, shown
from deberta_core.json_shape import flat_json
from deberta_dual.data.records import Record

# Role -> the names of columns that have it, the likeliest first, whatever the case of their letters.
ROLES: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "sentence1", "premise", "review", "comment", "comment_text", "full_text", "content"),
    "text_pair": ("text_pair", "sentence2", "hypothesis"),
    "label": ("label", "labels", "class", "category", "target", "score", "stars", "rating", "gold_label"),
    "words": ("words", "tokens"),
    "labels": ("labels", "ner_tags", "tags"),
    "question": ("question",),
    "context": ("context", "passage"),
    "answers": ("answers", "answer"),
    "is_impossible": ("is_impossible",),
    "choices": ("choices", "options", "endings"),
    "query": ("query", "question", "search_query"),
    "document": ("document", "passage", "doc", "text", "answer"),
    "relevance": ("relevance", "label", "score", "grade"),
    "positive": ("positive", "sentence2", "text_pair", "answer", "document", "passage", "context", "hypothesis"),
    "negative": ("negative", "hard_negative"),
    "score": ("score", "similarity", "similarity_score", "relatedness_score", "label"),
    "prompt": ("prompt", "instruction", "question", "query"),
    "rejected": ("rejected",),
}
# Roles whose other columns mean the same in some tasks: a multiple choice has a question, and its answer is a letter.
TASK_ROLES: dict[str, dict[str, tuple[str, ...]]] = {
    # The anchor of a pair, and the text that was chosen, are what the trained model reads.
    "sentence-embeddings": {
        "text": (
            *("text", "sentence", "sentence1", "anchor", "query", "question", "premise"),
            *("review", "comment", "comment_text", "full_text", "content"),
        ),
    },
    "reward": {"text": ("text", "chosen", "response", "completion", "answer")},
    "multiple-choice": {
        "text": ("text", "question", "goal", "prompt", "context", "premise"),
        "label": ("label", "answer", "correct", "gold", "target"),
    },
}
# Task -> what it reads, and what it learns or is judged by.
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text-classification": (("text", "text_pair"), ("label",)),
    "token-classification": (("words", "text"), ("labels",)),
    "question-answering": (("question", "context"), ("answers", "is_impossible")),
    "multiple-choice": (("text", "choices"), ("label",)),
    "ranking": (("query", "document"), ("relevance",)),
    "zero-shot-classification": (("text",), ("label",)),
    "masked-lm": (("text",), ()),
    "fill-mask": (("text",), ()),
    "feature-extraction": (("text",), ()),
    "sentence-embeddings": (("text",), ("positive", "negative", "score")),
    "reward": (("prompt", "text"), ("rejected",)),
}
OPTIONAL = ("text_pair",)  # of what is read
EITHER = ("token-classification",)  # tasks that read one of their roles
# Roles whose value is a list, which a table has as JSON.
LISTS = ("words", "labels", "choices", "answers", "negative")


def parse_columns(parts: Iterable[str] | Mapping[str, str | Sequence[str]]) -> dict[str, list[str]]:
    """What `--columns` says: role -> names of columns.

    `text=review,label=stars`, with commas or as several texts. A part without "=" goes on with the list before it:
    `labels=toxic,obscene,text=comment`.

    Args:
        parts: such texts; or a mapping of roles to a name, or to several.

    Raises:
        InputError: the first part has no "=", a name is empty, or a role is given twice.
    """
    if isinstance(parts, Mapping):
        return {
            role: _split(names) if isinstance(names, str) else [str(name) for name in names]
            for role, names in parts.items()
        }
    found: dict[str, list[str]] = {}
    last: list[str] | None = None
    for part in (part for text in parts for part in _split(text)):
        role, sign, name = part.partition("=")
        if sign:
            if role in found:
                raise InputError(f"columns: {role!r} is given twice. Give its columns once, as {role}=ONE,OTHER.")
            last = found[role] = []
        elif last is None:
            raise InputError(f"columns: {part!r} is no ROLE=COLUMN. Begin with the role, as in text=review.")
        else:
            name = role
        if not name or (sign and not role):
            raise InputError(f"columns: {part!r} leaves a name empty. Write ROLE=COLUMN, as in text=review.")
        last.append(name)
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of a file are.

    Attributes:
        sources: role -> its columns; several make a list, and several labels a dict.
        roles: what the task can use.
        guessed: the roles whose column was chosen by its name.
        needed: of each of these, one role must be there.
    """

    sources: Mapping[str, Sequence[str]]
    roles: Sequence[str]
    guessed: Sequence[str] = ()
    needed: Sequence[Sequence[str]] = ()

    @classmethod
    def choose(
        cls,
        names: Collection[str],
        task: str,
        roles: Sequence[str],
        given: Mapping[str, Sequence[str]],
        place: str,
    ) -> Columns:
        """Finds the columns of a task's roles.

        Args:
            names: of the columns there are.
            task: a name of a task, for `TASK_ROLES`.
            roles: what the task can use.
            given: what the user says, by `parse_columns`; it goes before what is guessed.
            place: for messages.

        Raises:
            InputError: a role is none of the task's, or a column is not there.
        """
        for role, sources in given.items():
            if role not in roles:
                raise InputError(f"columns: {role!r} is nothing that {task} reads. It reads: {', '.join(roles)}.")
            for source in sources:
                if source not in names:
                    raise InputError(f"{place}: there is no column {source!r}. There are: {name_list(names, 20)}.")
        by_name = {name.lower(): name for name in reversed([*names])}
        taken = {source for sources in given.values() for source in sources}
        chosen = {role: list(own) for role, own in given.items()}
        for role in roles:
            found = next(
                (by_name[name] for name in _names(task, role) if name in by_name and by_name[name] not in taken), None
            )
            if role not in chosen and found is not None:
                chosen[role] = [found]
                taken.add(found)
        return cls(chosen, roles, [role for role in chosen if role not in given], _needed(task))

    def describe(self) -> str:
        """The choice as `--columns` takes it."""
        return ",".join(f"{role}={','.join(sources)}" for role, sources in self.sources.items())

    def is_plain(self) -> bool:
        """Whether every column that was guessed has the name of its role."""
        return all([role] == [*self.sources[role]] for role in self.guessed)

    def split(self, record: Record) -> Record:
        """A record with its values by role, and the others as `rest`.

        Raises:
            InputError: what the task needs, or a column that the first record has, is missing; or a list is no JSON.
        """
        values: dict[str, Any] = {}
        taken = {source for sources in self.sources.values() for source in sources}
        for role, sources in self.sources.items():
            if missing := [source for source in sources if source not in record.values]:
                if len(sources) > 1 or role not in record.values:
                    raise InputError(
                        f"there is no {missing[0]!r}, which is {role} in what was read before; there is: "
                        f"{_names_of(record)}. Give files of the same columns."
                    )
                sources = [role]
            values[role] = _value(role, {source: record.values[source] for source in sources})
        for role in self.roles:
            if role not in values and role in record.values and role not in taken:
                values[role] = record.values[role]  # an entry that not all objects have
                taken.add(role)
        for group in self.needed:
            if not any(role in values for role in group):
                raise InputError(no_column(group[0], record))
        rest = {name: value for name, value in record.values.items() if name not in taken}
        return replace(record, values=values, rest=rest)


def no_column(role: str, record: Record) -> str:
    """The message that a record has nothing of a role."""
    return f"there is no {role!r}, but: {_names_of(record)}. Say which it is: --columns {role}=COLUMN."


def _names_of(record: Record) -> str:
    return name_list(sorted(map(str, [*record.values, *record.rest])), 20) or "nothing"


def _needed(task: str) -> list[tuple[str, ...]]:
    read = FIELDS[task][0]
    return [read] if task in EITHER else [(role,) for role in read if role not in OPTIONAL]


def _names(task: str, role: str) -> tuple[str, ...]:
    return TASK_ROLES.get(task, {}).get(role) or ROLES.get(role, (role,))


def role_of_name(name: str, task: str, roles: Sequence[str]) -> str:
    """The role that a user means, who may call it as its column is often called: `labels` for `label`."""
    return name if name in roles else next((role for role in roles if name in _names(task, role)), name)


def _value(role: str, found: dict[str, Any]) -> Any:
    """Of one column its value; of several a list, of labels by their names."""
    if len(found) > 1:
        return found if role == "label" else [*found.values()]
    value = next(iter(found.values()))
    return _as_list(role, value) if role in LISTS else value


def _as_list(role: str, value: Any) -> Any:
    """A list that a table has as the text of its JSON."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return flat_json(value)
    except ValueError as problem:
        raise InputError(f"{role}={shown(value, 60)} is no JSON: {problem}. Write the list as JSON.") from None
