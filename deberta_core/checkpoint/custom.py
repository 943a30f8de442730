"""Checkpoints of models that users make themselves: a backbone, or a task model, and layers that no table knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deberta_core.checkpoint.lazy import LazyWeights
from deberta_core.checkpoint.load import LoadedWeights, LoadReport, match_weights
from deberta_core.config import BaseConfig
from deberta_core.tasks import BACKBONE_PREFIX

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OwnLayers:
    """How such a model differs from the parameter table.

    Attributes:
        places: names of the table to names in the model.
        own: names in the model that are in no table, to their shapes.
    """

    places: Mapping[str, str]
    own: Mapping[str, Shape]

    def match(self, source: LazyWeights, config: BaseConfig, task: str | None) -> LoadedWeights:
        """As `match_weights`; the file has this model's names, or those of any model of this configuration."""
        prefix = BACKBONE_PREFIX if task is None else ""
        published = {place: prefix + name for name, place in self.places.items()}
        table = match_weights(
            source.select({published.get(name, name): name for name in source if name not in self.own}), config, task
        )
        found = {name: source.entries[name] for name in self.own if name in source.entries}
        wrong = [(name, found[name].shape, shape) for name, shape in self.own.items() if name in found]
        wrong = [row for row in wrong if row[1] != row[2]]
        for name, *_ in wrong:
            del found[name]
        report = LoadReport(
            missing=(*self._there(table.report.missing), *sorted(self.own.keys() - source.entries.keys())),
            unexpected=table.report.unexpected,
            mismatched=tuple(
                sorted(
                    [
                        *wrong,
                        *(
                            (self.places[n], file, model)
                            for n, file, model in table.report.mismatched
                            if n in self.places
                        ),
                    ]
                )
            ),
            dropped=table.report.dropped,
            tied=table.report.tied,
        )
        kept = {place: table.weights.entries[name] for name, place in self.places.items() if name in table.weights}
        return LoadedWeights(source.replaced({**kept, **found}), report)

    def _there(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(self.places[name] for name in names if name in self.places))
