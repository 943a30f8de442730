"""The seam to the frameworks: every backend does what the protocol asks, and objects are told apart."""

import importlib.util
import inspect
import sys
from types import SimpleNamespace

import pytest

from deberta_core.errors import InputError
from deberta_dual.backends import FRAMEWORKS, Backend, get_backend, installed_versions, owner

ASKED = {name: method for name, method in vars(Backend).items() if inspect.isfunction(method) and name[0] != "_"}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_backend_has_every_function_of_the_protocol(framework):
    for package in FRAMEWORKS[framework].packages:
        pytest.importorskip(package)
    backend = get_backend(framework)
    for name, method in ASKED.items():
        asked = [one.replace(annotation="") for one in inspect.signature(method).parameters.values()][1:]
        has = [one.replace(annotation="") for one in inspect.signature(getattr(backend, name)).parameters.values()]
        assert has == asked, f"{framework}: {name}"


def test_the_protocol_is_not_empty():
    assert {"load_model", "array_model", "train"} <= set(ASKED)


def test_a_framework_that_is_not_imported_owns_nothing(monkeypatch):
    for row in FRAMEWORKS.values():
        monkeypatch.delitem(sys.modules, row.packages[-1], raising=False)
    with pytest.raises(InputError, match="model is of type SimpleNamespace"):
        owner(SimpleNamespace(config=None, task=None))


def test_versions_of_what_is_installed():
    packages = {package for row in FRAMEWORKS.values() for package in row.packages}
    assert set(installed_versions()) == {package for package in packages if importlib.util.find_spec(package)}
