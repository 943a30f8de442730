"""What a client is told when something goes wrong: a status, a kind, one sentence."""

from __future__ import annotations

from deberta_core.errors import DebertaError, InputError, TokenizationError

# Kinds of errors as text-embeddings-inference calls them, and their statuses.
STATUSES = {
    "Validation": 422,
    "Tokenizer": 422,
    "Empty": 422,
    "Unknown": 404,
    "Backend": 424,
    "Overloaded": 429,
    "Unhealthy": 503,
}


class Refused(Exception):
    """A request that is not answered.

    Args:
        text: what is wrong, the rule, and what to do.
        kind: a name of `STATUSES`.
        retry_after: seconds after which to try again.
    """

    def __init__(self, text: str, kind: str = "Validation", retry_after: int | None = None) -> None:
        super().__init__(text)
        self.kind, self.retry_after = kind, retry_after

    @property
    def status(self) -> int:
        """The status of the answer."""
        return STATUSES[self.kind]


def refusal_of(problem: DebertaError) -> Refused:
    """What a client is told of an error of ours: what it sent is wrong, or the model is."""
    if isinstance(problem, TokenizationError):
        return Refused(str(problem), "Tokenizer")
    return Refused(str(problem), "Validation" if isinstance(problem, InputError) else "Backend")
