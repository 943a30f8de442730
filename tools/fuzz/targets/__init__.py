"""What is fuzzed: a module for each target, whose `TARGET` says how inputs are made, changed and read."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tools.fuzz.changes.raw import Change
from tools.fuzz.corpus import Corpus, Files


@dataclass(frozen=True, slots=True)
class Target:
    """Something that reads files.

    Attributes:
        corpus: makes undamaged inputs.
        change: damages one; it gets its own copy.
        read: reads the input in a folder as a user would, by a way the random numbers choose. It may succeed, or raise
            a `DebertaError`; anything else is a failure.
        prepare: does what all inputs share, such as imports, before the memory of an input is counted.
    """

    corpus: Corpus
    change: Callable[[Random, Files], Files]
    read: Callable[[Path, Random], None]
    prepare: Callable[[], object] = lambda: None


def target_names() -> list[str]:
    """The names of all targets: their modules here, with dashes."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.name[0] != "_")


def find_target(name: str) -> Target:
    """The target of a name; one with dots is that of a module elsewhere."""
    module = name if "." in name else f"{__name__}.{name.replace('-', '_')}"
    target: Target = importlib.import_module(module).TARGET
    return target


def one_file(name: str, change: Change) -> Callable[[Random, Files], Files]:
    """Changes one file of every input."""
    return lambda random, files: files | {name: change(random, files[name])}


def any_file(changes: Mapping[str, Change]) -> Callable[[Random, Files], Files]:
    """Changes one or two of the files that are there, by their names or ends of names; now and then removes one."""

    def change(random: Random, files: Files) -> Files:
        there = [name for name in files if any(name.endswith(end) for end in changes)]
        for name in random.sample(there, min(len(there), random.choice((1, 1, 1, 2)))):
            by_name = next(changes[end] for end in changes if name.endswith(end))
            files[name] = by_name(random, files[name])
        if random.random() < 0.03:
            del files[random.choice(there)]
        return files

    return change
