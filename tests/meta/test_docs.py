"""The pages of `docs/`: they build without a warning and hold every public class and function."""

import importlib
import inspect
import os
import subprocess
import sys
import zlib

import pytest

PACKAGES = (
    "deberta_core",
    "deberta_core.reference",
    "deberta_core.checkpoint",
    "deberta_dual",
    "deberta_dual.backends",
    "deberta_dual.pipelines",
    "deberta_dual.finetuning",
    "deberta_torch",
    "deberta_tf",
)


@pytest.fixture(scope="module")
def documented(root, tmp_path_factory):
    """The Python names that have a place in the built pages."""
    pytest.importorskip("mkdocs")
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(site)]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    return {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_class_and_function_has_a_place(documented, package):
    module = importlib.import_module(package)
    names = {name: getattr(module, name) for name in module.__all__}
    homes = {
        name: f"{value.__module__}.{name}"
        for name, value in names.items()
        if inspect.isclass(value) or inspect.isroutine(value)
    }
    assert homes
    assert not [name for name, home in homes.items() if not {home, f"{package}.{name}"} & documented]
