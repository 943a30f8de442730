"""Folders by name: a local folder as it is, or the files of a repository of a model hub, downloaded once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deberta_core.errors import DebertaError, DebertaWarning, reason, shown
from deberta_core.other_folders import KINDS, MARKS
from deberta_core.presets import PRESETS
from deberta_core.shard_names import shard_names
from deberta_core.transaction import settle

HUB_OPTIONS = ("revision", "cache_dir", "local_files_only", "token", "force_download", "subfolder")

_OPTION_TYPES: dict[str, tuple[tuple[type, ...], str]] = {
    "revision": ((str, type(None)), "the name of a branch or tag, a commit, or None"),
    "cache_dir": ((str, Path, type(None)), "a folder, or None"),
    "subfolder": ((str, type(None)), "the name of a folder, or None"),
    "token": ((str, bool, type(None)), "the token as a line of text, True, False or None"),
}
_HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
# Published sizes by name alone are taken from where they were published.
_PUBLISHED = {name: f"microsoft/{name}" for presets in PRESETS.values() for name in presets}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file that is asked of a repository.

    Args:
        names: its names, the most wanted first; one of them is downloaded. A name that ends in `.index.json` brings
            the files it lists.
        required: whether it is an error if the repository has none of them.
    """

    names: tuple[str, ...]
    required: bool = True


def local_folder(
    name: str | Path | None,
    wanted: Sequence[Wanted],
    error: type[DebertaError],
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    force_download: bool = False,
    subfolder: str | None = None,
) -> Path:
    """Finds the folder (or file) called `name`, downloading it where it is a repository of the hub.

    Files are kept in the cache of `huggingface_hub`, are asked for once, and interrupted downloads go on where they
    stopped. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_OFFLINE` and `HF_TOKEN` have their usual meaning.

    Args:
        name: a path; or, as a str to which no file or folder answers, a hub id such as `microsoft/deberta-v3-base`, of
            which the owner may be left out for the published sizes.
        wanted: what to download.
        error: the class of error to raise.
        revision: a branch, tag or commit; None is the main branch.
        cache_dir: where downloads are kept; None is the hub's own place.
        local_files_only: take what the cache holds and use no network.
        token: for repositories that are not public; None takes the one of the machine's log-in, False none.
        force_download: download again what is in the cache.
        subfolder: a folder inside of the folder or repository that is meant.

    Returns:
        the path itself, which need not be there; or the folder of the cache that holds the files of one revision.

    Raises:
        error: a bare name is no folder; the hub has no such repository, revision or file, or it cannot be reached; or
            an option is no such thing. A token is never part of a message.
    """
    if name is None:
        raise error("there is no path. Give a folder, a file or a hub id; or a PyTorch model's config and state_dict.")
    try:
        path = Path(name)
        is_here = path.exists()
    except (TypeError, OSError) as problem:
        raise error(f"{shown(name)} is no path: {reason(problem)}. Give a folder, a file or a hub id.") from problem
    _check_options(error, revision=revision, cache_dir=cache_dir, token=token, subfolder=subfolder)
    if not is_here and not isinstance(name, Path):
        name = _PUBLISHED.get(name, name)
        path = Path(name)
    if is_here or isinstance(name, Path) or not _HUB_ID.fullmatch(name):
        if not is_here and name == path.name and not path.suffix:
            raise error(f"{name}: no such folder here. Give the path of one, or a hub id, which is owner/name.")
        path = path / (subfolder or "")
        settle(path if path.is_dir() else path.parent, error)
        return path  # whoever reads it says what is missing there
    from huggingface_hub import constants, hf_hub_download

    if path.parent.is_dir():  # a mistyped folder, perhaps; the hub may take half a minute to say that it has none
        warnings.warn(f"{name}: no such folder here, only {path.parent}. Asking the hub.", DebertaWarning, stacklevel=3)
    hint = "Choose a repository that has one."
    local_files_only = local_files_only or constants.HF_HUB_OFFLINE
    if local_files_only:
        hint = "Only the cache was looked at: allow the network (local_files_only=False, no HF_HUB_OFFLINE)."
    download = partial(
        _download,
        hf_hub_download,
        name,
        error,
        revision=revision,
        cache_dir=cache_dir,
        local_files_only=local_files_only,
        token=token,
        force_download=force_download,
        subfolder=subfolder or None,
    )
    folders = [folder for file in wanted if (folder := _first_of(download, name, file, error, hint)) is not None]
    if not folders:
        raise error(f"{name} has none of {', '.join(n for file in wanted for n in file.names)}. {hint}")
    return folders[0]


def split_hub_options(keywords: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parts keywords into those of `HUB_OPTIONS` and the others."""
    hub = {name: value for name, value in keywords.items() if name in HUB_OPTIONS}
    return hub, {name: value for name, value in keywords.items() if name not in HUB_OPTIONS}


def _check_options(error: type[DebertaError], **options: Any) -> None:
    for name, value in options.items():
        types, what = _OPTION_TYPES[name]
        if not isinstance(value, types) or (isinstance(value, str) and not (value and value.isprintable())):
            shown = f" (a {type(value).__name__})" if name == "token" else f"={value!r:.80}"
            raise error(f"{name}{shown} is not allowed. Give {what}.")
    if isinstance(token := options["token"], str) and not re.fullmatch("[!-~]+", token):
        raise error("token (a str) holds spaces, line ends or signs that no token has. Copy it again.")


def _first_of(
    download: Callable[[str], Path | None], name: str, wanted: Wanted, error: type[DebertaError], hint: str
) -> Path | None:
    for candidate in wanted.names:
        file = download(candidate)
        if file is None:
            continue
        if candidate.endswith(".index.json"):
            for shard in shard_names(file, error):
                if download(shard) is None:
                    raise error(f"{name}: {candidate} lists {shard}, which is not there. Choose another revision.")
        return file.parent
    if wanted.required:
        mark = next((mark for mark in MARKS if download(mark) is not None), None)
        kind = f"It {KINDS[mark]}" if mark else hint
        raise error(f"{name} has no {' or '.join(wanted.names)}. {kind}")
    return None


def _download(
    hf_hub_download: Callable[..., str], repo: str, error: type[DebertaError], file: str, **options: Any
) -> Path | None:
    """The path of a downloaded file; None if the repository has no such file."""
    from huggingface_hub import errors

    try:
        return Path(hf_hub_download(repo, file, library_name="deberta-dual", **options))
    except errors.LocalEntryNotFoundError as problem:
        if options["local_files_only"]:
            return None
        reason = "is no folder here, the hub cannot be reached, and the cache does not hold it"
        raise error(f"{repo} {reason} ({_line(problem.__cause__)}). Try again, or give a folder.") from None
    except errors.EntryNotFoundError:  # since huggingface_hub 1 the base of that and of what the hub says
        return None
    except errors.GatedRepoError:
        reason = "is gated: ask for access on its page and give token=..., or log in with `hf auth login`"
    except errors.RepositoryNotFoundError:
        reason = "is no folder here and no repository of the hub. If it is private, give token=..."
    except errors.RevisionNotFoundError:
        reason = f"has no revision {options['revision']!r}. Give a branch, a tag or a commit"
    except errors.HFValidationError as problem:
        reason = f"is no folder here and no hub id ({_line(problem)})"
    except (errors.HfHubHTTPError, OSError, ValueError) as problem:
        reason = f"cannot be downloaded: {_line(problem)}"
    raise error(f"{repo} {reason}.")


def _line(problem: BaseException | None) -> str:
    return " ".join(str(problem).split())[:200].rstrip(".") or type(problem).__name__
