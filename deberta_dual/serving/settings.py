"""What can be chosen of a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from deberta_core.errors import InputError

# Numbers that must be above 0, and what they count.
_POSITIVE = {
    "max_batch_tokens": "tokens in a batch",
    "max_waiting_tokens": "tokens that wait",
    "max_texts": "texts of a request",
    "max_body": "bytes of a request",
    "timeout": "seconds",
    "workers": "processes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """How models are served.

    Args:
        models: checkpoint folders or hub ids; a request names one by the last part, the first is the default.
        host: the address to listen at.
        port: from 0 to 65535; 0 takes a free one.
        framework: as of `pipeline`.
        device: as of `pipeline`.
        dtype: as of `pipeline`.
        max_length: of a text, in tokens; None: the model's.
        truncate: whether longer texts are cut where a request does not say; else they are refused.
        max_batch_tokens: in a batch; None: 1024 on a CPU, where more gains nothing, and 16384 elsewhere.
        max_waiting_tokens: beyond which a request is refused with status 429, unless nothing else waits.
        max_texts: of a request.
        max_body: bytes of a request.
        timeout: seconds in which a request must have arrived, and then have been answered.
        workers: processes, each with its own models.
        api_key: that a request must carry as `Authorization: Bearer KEY`; None: none.
        cors_origins: web sites whose pages may call the server; "*" is all.
        page: whether `/` is the page that shows explanations.
        log_texts: whether the log holds the bodies of requests.

    Raises:
        InputError: a value is not allowed, or two models have the same name.
    """

    models: tuple[str, ...]
    host: str = "127.0.0.1"
    port: int = 8000
    framework: str | None = None
    device: Any = None
    dtype: str | None = None
    max_length: int | None = None
    truncate: bool = True
    max_batch_tokens: int | None = None
    max_waiting_tokens: int = 262144
    max_texts: int = 1024
    max_body: int = 2_000_000
    timeout: float = 30.0
    workers: int = 1
    api_key: str | None = None
    cors_origins: tuple[str, ...] = ()
    page: bool = False
    log_texts: bool = False

    def __post_init__(self) -> None:
        if not self.models:
            raise InputError("models is empty. Give at least one folder or hub id.")
        for name, unit in _POSITIVE.items():
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(f"{name}={value} is not allowed. Give a number of {unit} above 0.")
        if not 0 <= self.port <= 65535:
            raise InputError(f"port={self.port} is not allowed. Give a number from 0 to 65535.")
        if self.api_key == "":
            raise InputError("api_key is empty. Give a key, or leave it out.")
        names = self.names
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise InputError(f"two models are called {twice[0]!r}. Rename the folder of one.")

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> ServeSettings:
        """Settings by name, as JSON or a command line has them: lists for tuples."""
        fitting: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
        }
        return cls(**fitting)

    @property
    def names(self) -> list[str]:
        """What requests call the models."""
        return [name_of(model) for model in self.models]


def name_of(model: str) -> str:
    """The last part of a folder's path or of a hub id."""
    return str(model).replace("\\", "/").rstrip("/").rsplit("/", maxsplit=1)[-1]
