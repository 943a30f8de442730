import io
import zipfile

import h5py
import pytest
import safetensors
import torch

from conformance.convert.plan import AS_IS, REVERSED, plan, table
from deberta_core.checkpoint import FORMATS, load_weights, save_weights

TASK = "sequence_classification"


@pytest.fixture(params=[None, TASK])
def task(request):
    return request.param


def stored_names(file):
    if file.suffix == ".safetensors":
        with safetensors.safe_open(file, "numpy") as handle:
            return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    if file.suffix == ".bin":
        return {name: tuple(tensor.shape) for name, tensor in torch.load(file, weights_only=True).items()}
    found = {}
    if file.suffix == ".keras":
        with zipfile.ZipFile(file) as archive:
            file = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(file) as handle:
        handle.visititems(lambda name, item: found.update({name: item.shape} if isinstance(item, h5py.Dataset) else {}))
    return found


@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("source", FORMATS)
def test_plan_names_what_the_files_hold(tmp_path, small_config, random_weights, task, source, target):
    weights = random_weights(small_config, task)
    files = {
        name: save_weights(tmp_path / f"{name}-{role}", small_config, task, weights, name)
        for role, name in (("from", source), ("to", target))
    }
    with load_weights(files[source], small_config, task) as loaded:
        stored = {name: entry.stored for name, entry in loaded.weights.entries.items()}
    moves = plan(small_config, task, stored, FORMATS[source], FORMATS[target])
    found = stored_names(files[source])
    assert {move.source for move in moves} == set(found)
    assert {move.target: move.shape for move in moves} == stored_names(files[target])
    for move in moves:
        expected = move.shape[::-1] if move.layout == REVERSED else move.shape
        assert found[move.source] == expected
    turned = FORMATS[source].keras_layout != FORMATS[target].keras_layout
    assert {move.layout for move in moves} == ({AS_IS, REVERSED} if turned else {AS_IS})


def test_table_is_one_line_per_array(small_config):
    stored = {name: name for name in load_names(small_config)}
    lines = table(plan(small_config, None, stored, FORMATS["safetensors"], FORMATS["h5"])).splitlines()
    assert len(lines) == len(stored)
    kernel = next(line for line in lines if line.startswith("encoder.conv.conv.weight "))
    assert kernel.split("  ")[-1] == "deberta/tf_deberta_v2_model/deberta/encoder/conv/conv/kernel:0 (3, 16, 16)"
    assert REVERSED in kernel


def test_a_parameter_without_source_is_an_error(small_config):
    with pytest.raises(KeyError):
        plan(small_config, None, {}, FORMATS["h5"], FORMATS["safetensors"])


def load_names(config):
    from deberta_core.parameters import expand

    return expand(config, None)
