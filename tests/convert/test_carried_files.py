"""What a conversion takes along, what it leaves, and what it does when others change the files meanwhile."""

import json
import os
import shutil
import threading

import pytest

from conformance.convert import convert as module
from conformance.convert.convert import CARRIED, convert
from deberta_core.checkpoint import load_config, load_weights, save_weights
from deberta_core.errors import WeightError
from deberta_core.layout import TOKENIZER_FILES

SECRETS = ("aws_credentials.json", "secrets.txt", "notes.txt", "training_args.bin", ".env", "sub/config.json")


@pytest.fixture
def source(tmp_path, small_config, random_weights):
    folder = tmp_path / "source"
    save_weights(folder, small_config, None, random_weights(small_config, None), with_config=True)
    return folder


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def put(folder, name, text="mine"):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
def test_only_files_of_a_checkpoint_are_carried(tmp_path, source, single):
    for name in (*SECRETS, *CARRIED):
        put(source, name)
    os.mkfifo(source / "tokenizer.model")
    done = convert(source / "model.safetensors" if single else source, tmp_path / "target", "h5")
    assert listing(tmp_path / "target") == sorted([*CARRIED, "config.json", "tf_model.h5"])
    assert done.carried == tuple(sorted([*CARRIED, "config.json"]))


def test_all_files_of_tokenizers_are_carried(tmp_path, small_tokenizer, small_fast_tokenizer, small_byte_tokenizer):
    for tokenizer in (small_tokenizer, small_fast_tokenizer, small_byte_tokenizer):
        tokenizer.save_pretrained(folder := tmp_path / type(tokenizer).__name__)
        assert {path.name for path in folder.iterdir()} <= {*TOKENIZER_FILES}


@pytest.mark.parametrize("name", ["README.md", "vocab.json", "1_Pooling/config.json", "config.json"])
@pytest.mark.parametrize("through_folder", [False, True])
def test_a_link_that_leads_outside_is_refused(tmp_path, source, name, through_folder):
    """Also where a folder on the way is the link."""
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copyfile(source / "config.json", outside / "config.json")
    place = source / name
    if name == "config.json":
        place.unlink()
    if through_folder and "/" in name:
        place.parent.symlink_to(outside)
    else:
        place.parent.mkdir(exist_ok=True)
        place.symlink_to(outside / "config.json")
    with pytest.raises(WeightError, match=rf"{name} in .* leads outside by a link, and would be copied"):
        convert(source, tmp_path / "target", "h5")
    assert not (tmp_path / "target").exists()


def test_a_folder_called_snapshots_opens_nothing(tmp_path, source):
    """Only `blobs` beside it may be linked to, not all that lies there."""
    folder = tmp_path / "snapshots" / "1"
    folder.parent.mkdir()
    source.rename(folder)
    put(tmp_path, "secret")
    (folder / "README.md").symlink_to("../../secret")
    with pytest.raises(WeightError, match="leads outside by a link"):
        convert(folder, tmp_path / "target", "h5")


def test_a_snapshot_of_the_hub_is_converted(tmp_path, source):
    """Its files are links into the blobs of its cache."""
    put(source, "README.md")
    blobs, snapshot = tmp_path / "hub" / "blobs", tmp_path / "hub" / "snapshots" / "0123abcd"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sorted(source.iterdir())):
        file.rename(blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    convert(snapshot, tmp_path / "target", "h5")
    assert listing(tmp_path / "target") == ["README.md", "config.json", "tf_model.h5"]
    assert not any(path.is_symlink() for path in (tmp_path / "target").iterdir())


def test_the_config_is_the_one_that_was_read(tmp_path, source, monkeypatch):
    before, real = (source / "config.json").read_bytes(), module.save_weights

    def change_it_first(*arguments):
        (source / "config.json").write_text(before.decode().replace('"gelu"', '"relu"'))
        monkeypatch.setattr(module._Checkpoint, "refuse_changes", lambda self: None)
        return real(*arguments)

    monkeypatch.setattr(module, "save_weights", change_it_first)
    convert(source, tmp_path / "target", "h5")
    assert (tmp_path / "target" / "config.json").read_bytes() == before


@pytest.mark.parametrize("name", ["config.json", "README.md", "model.safetensors"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_source_that_changes_is_noticed(tmp_path, source, monkeypatch, name, gone):
    put(source, "README.md")
    real = module.save_weights

    def change(*arguments):
        written = real(*arguments)
        if gone:
            (source / name).unlink()
        else:
            shutil.copyfile(source / name, source / "again")
            (source / "again").replace(source / name)
        return written

    monkeypatch.setattr(module, "save_weights", change)
    with pytest.raises(WeightError, match=rf"{name} changed while .*source was converted. Convert it again"):
        convert(source, tmp_path / "target", "h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_shards_that_change_are_noticed(tmp_path, source, small_config, random_weights, monkeypatch):
    weights = random_weights(small_config, None)
    save_weights(source, small_config, None, weights, max_shard_size=4000)
    name, real = sorted(path.name for path in source.glob("model-*"))[0], module.save_weights
    monkeypatch.setattr(module, "save_weights", lambda *rest: (real(*rest), (source / name).touch()))
    with pytest.raises(WeightError, match=f"{name} changed while"):
        convert(source, tmp_path / "target", "h5")


def test_of_two_conversions_to_one_new_folder_one_is_refused(tmp_path, source):
    results = []

    def run():
        try:
            results.append(convert(source, tmp_path / "target", "safetensors"))
        except WeightError as problem:
            results.append(str(problem))

    for _ in range(5):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
        refused = [result for result in results if isinstance(result, str)]
        assert len(results) == 2
        assert len(refused) == 1
        assert "exists already" in refused[0]
        config = load_config(None, tmp_path / "target", None)
        load_weights(tmp_path / "target", config, None).weights.close()
        shutil.rmtree(tmp_path / "target")
        results.clear()


@pytest.mark.parametrize("name", ["old.txt", "sub/thesis.txt", ".git/HEAD"])
def test_force_keeps_what_is_no_checkpoints(tmp_path, source, name):
    target = tmp_path / "target"
    target.mkdir()
    (target / "config.json").write_text(json.dumps({}))
    put(target, name)
    with pytest.raises(WeightError, match=f"is no checkpoint folder, so --force does not replace it: it holds {name}"):
        convert(source, target, "h5", force=True)
    assert listing(target) == sorted(["config.json", name])
