"""Scores of entities: names with their first word and the one after the last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from deberta_dual.evaluation.classes import Metrics, f1_of

Entity = tuple[str, int, int]
OUTSIDE = "O"
# Prefix -> whether an entity begins with it, and whether it ends with it; L and U are BILOU's names for E and S.
PREFIXES = {
    "B": (True, False),
    "I": (False, False),
    "E": (False, True),
    "L": (False, True),
    "S": (True, True),
    "U": (True, True),
}


# Scheme -> the prefix of a word, by whether it is its entity's first, its last, and behind another entity of that name.
SCHEMES: dict[str, Callable[[bool, bool, bool], str]] = {
    "io": lambda first, last, behind: "I",
    "iob1": lambda first, last, behind: "B" if first and behind else "I",
    "iob2": lambda first, last, behind: "B" if first else "I",
    "bilou": lambda first, last, behind: ("U" if last else "B") if first else ("L" if last else "I"),
    "bioes": lambda first, last, behind: ("S" if last else "B") if first else ("E" if last else "I"),
}


def split_label(label: str) -> tuple[str, str]:
    """Prefix and name of a label; no prefix, and for "O" no name either."""
    prefix, sign, name = label.partition("-")
    if sign and prefix in PREFIXES:
        return prefix, name
    return "", "" if label == OUTSIDE else label


def entities(labels: Sequence[str]) -> set[Entity]:
    """The entities of a text, whatever the scheme: IOB1, IOB2, IOE, BILOU (BIOES), or names without prefixes.

    One begins with B, S or U, after the end of another, and where the name changes; neighbours with the same name and
    no prefix are one.

    Source:
        conlleval, and seqeval's default mode, which reads labels as it does.
    """
    found: set[Entity] = set()
    first, open_name, last, ended = 0, "", "", False
    for place, label in enumerate([*labels, OUTSIDE]):
        prefix, name = split_label(label)
        begins, ends = PREFIXES.get(prefix, (False, False))
        is_other_scheme = bool(last) and not prefix  # a name without a prefix behind one with
        if begins or ended or name != open_name or is_other_scheme:
            if open_name:
                found.add((open_name, first, place))
            first, open_name = place, name
        last, ended = prefix, ends
    return found


def labels_of(found: Iterable[Entity], length: int, scheme: str) -> list[str]:
    """The labels of a text of so many words, in a scheme of `SCHEMES`; of entities that overlap the first is taken."""
    labels, last_name, last_end = [OUTSIDE] * length, "", 0
    for name, start, end in sorted(found, key=lambda entity: (entity[1], -entity[2])):
        first = max(start, last_end)
        for place in range(first, end):
            prefix = SCHEMES[scheme](place == first, place == end - 1, name == last_name and first == last_end)
            labels[place] = f"{prefix}-{name}"
        if first < end:
            last_name, last_end = name, end
    return labels


def in_scheme(labels: Sequence[str], scheme: str) -> list[str]:
    """Labels of any scheme that `entities` reads in one of `SCHEMES`."""
    return labels_of(entities(labels), len(labels), scheme)


def entity_scores(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> Metrics:
    """Precision, recall and F1 of whole entities, and the share of words with the right label; labels of words."""
    pairs = [(entities(one), entities(other)) for one, other in zip(found, wanted, strict=True)]
    words = [one == other for texts in zip(found, wanted, strict=True) for one, other in zip(*texts, strict=True)]
    return {**_scores(pairs), "accuracy": sum(words) / max(len(words), 1)}


def scores_by_name(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> dict[str, Metrics]:
    """Precision, recall, F1 and support of the entities of every name."""
    pairs = [(entities(one), entities(other)) for one, other in zip(found, wanted, strict=True)]
    names = sorted({entity[0] for pair in pairs for side in pair for entity in side})
    rows = {}
    for name in names:
        own = [({e for e in one if e[0] == name}, {e for e in other if e[0] == name}) for one, other in pairs]
        rows[name] = {**_scores(own), "support": sum(len(other) for _, other in own)}
    return rows


def _scores(pairs: Sequence[tuple[set[Entity], set[Entity]]]) -> Metrics:
    both = sum(len(found & wanted) for found, wanted in pairs)
    mine, true = sum(len(found) for found, _ in pairs), sum(len(wanted) for _, wanted in pairs)
    return {
        "precision": both / mine if mine else 0.0,
        "recall": both / true if true else 0.0,
        "f1": f1_of(both, mine, true),
    }
