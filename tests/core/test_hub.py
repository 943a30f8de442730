"""Hub ids, against a server on this machine that speaks the hub's protocol."""

import json
from importlib.metadata import version
from pathlib import Path

import pytest

from deberta_core import AutoConfig, AutoTokenizer, DebertaTokenizerFast, DebertaV2Config, DebertaV2TokenizerFast
from deberta_core.errors import ConfigError, DebertaWarning, InputError, TokenizationError, WeightError
from deberta_core.hub import Wanted, local_folder, split_hub_options

REPO = "someone/deberta"
CONFIG, WEIGHTS = Wanted(("config.json",)), Wanted(("model.safetensors", "model.safetensors.index.json", "old.bin"))


@pytest.fixture
def hub(hub_server):
    hub_server.files = {
        (REPO, "main", "config.json"): b'{"model_type": "deberta-v2"}',
        (REPO, "main", "model.safetensors"): b"weights",
        (REPO, "v2", "config.json"): b'{"model_type": "deberta"}',
    }
    return hub_server


def test_a_path_that_is_there_is_taken_as_it_is(tmp_path):
    assert local_folder(tmp_path, [CONFIG], ConfigError) == tmp_path
    assert local_folder(str(tmp_path), [], ConfigError) == tmp_path


@pytest.mark.parametrize("name", ["./somewhere", "a/b/c", Path(REPO), "/nowhere/at/all"])
def test_a_path_is_never_looked_for_elsewhere(hub, name):
    assert local_folder(name, [CONFIG], ConfigError) == Path(name)
    with pytest.raises(ConfigError, match="does not exist"):
        DebertaV2Config.from_pretrained(name)
    assert not hub.log


@pytest.mark.parametrize("cls", [AutoConfig, DebertaV2Config, AutoTokenizer])
def test_a_bare_name_is_a_folder(hub, cls):
    with pytest.raises((ConfigError, TokenizationError), match="my-model: no such folder here"):
        cls.from_pretrained("my-model")
    assert not hub.log


def test_a_published_size_needs_no_owner(hub):
    hub.files["microsoft/deberta-v3-small", "main", "config.json"] = b'{"model_type": "deberta-v2"}'
    assert DebertaV2Config.from_pretrained("deberta-v3-small").name_or_path == "deberta-v3-small"


def test_a_mistyped_folder_is_said_before_the_hub_is_asked(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    with pytest.warns(DebertaWarning, match="models/mine: no such folder here"), pytest.raises(ConfigError):
        DebertaV2Config.from_pretrained("models/mine")


def test_a_folder_inside(hub, tmp_path):
    hub.files[REPO, "main", "inner/config.json"] = b'{"model_type": "deberta-v2", "num_labels": 7}'
    DebertaV2Config(num_labels=5).save_pretrained(tmp_path / "inner")
    for cls in (AutoConfig, DebertaV2Config):
        assert cls.from_pretrained(tmp_path, subfolder="inner").num_labels == 5
        assert cls.from_pretrained(REPO, subfolder="inner").num_labels == 7
    with pytest.raises(ConfigError, match="subfolder=3 is not allowed"):
        AutoConfig.from_pretrained(REPO, subfolder=3)


def test_files_are_downloaded_once_and_kept(hub):
    folder = local_folder(REPO, [CONFIG, WEIGHTS], WeightError)
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    assert [request for request in hub.log if request[0] == "GET"] == [
        ("GET", "config.json", None),
        ("GET", "model.safetensors", None),
    ]
    hub.log.clear()
    assert local_folder(REPO, [CONFIG, WEIGHTS], WeightError) == folder
    assert {method for method, *_ in hub.log} == {"HEAD"}


def test_revisions_and_folders_of_ones_own(hub, tmp_path):
    main = local_folder(REPO, [CONFIG], ConfigError)
    other = local_folder(REPO, [CONFIG], ConfigError, revision="v2", cache_dir=tmp_path / "mine")
    assert json.loads((main / "config.json").read_text())["model_type"] == "deberta-v2"
    assert json.loads((other / "config.json").read_text())["model_type"] == "deberta"
    assert (tmp_path / "mine") in other.parents
    by_commit = local_folder(REPO, [CONFIG], ConfigError, revision=hub.commits["v2"])
    assert (by_commit / "config.json").read_bytes() == (other / "config.json").read_bytes()


def test_shards_come_with_their_index(hub):
    shards = {f"model-0000{n}-of-00002.safetensors": b"part %d" % n for n in (1, 2)}
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    hub.files |= {("someone/big", "main", name): content for name, content in shards.items()}
    hub.files["someone/big", "main", "model.safetensors.index.json"] = json.dumps(index).encode()
    folder = local_folder("someone/big", [WEIGHTS], WeightError)
    assert {file.name for file in folder.iterdir()} == {*shards, "model.safetensors.index.json"}
    del hub.files["someone/big", "main", "model-00002-of-00002.safetensors"]
    with pytest.raises(WeightError, match=r"lists model-00002-of-00002\.safetensors, which is not there"):
        local_folder("someone/big", [WEIGHTS], WeightError, force_download=True)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (b'{"weight_map": {"a": "../../other"}}', r"names files outside its folder: \.\./\.\./other"),
        (b'{"weight_map": {"a": "/etc/passwd"}}', "names files outside its folder: /etc/passwd"),
        (b'{"weight_map": {"a": ".."}}', r"names files outside its folder: \.\."),
        (b'{"weight_map": {"a": ""}}', "names files outside its folder"),
        (b'{"weight_map": ["a"]}', r"weight_map=\['a'\] in .* is not an object"),
        (b"nonsense", "cannot be read as JSON"),
    ],
)
def test_an_index_that_is_refused(hub, index, message):
    hub.files["someone/bad", "main", "model.safetensors.index.json"] = index
    with pytest.raises(WeightError, match=message):
        local_folder("someone/bad", [WEIGHTS], WeightError)


def test_an_interrupted_download_goes_on(hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 100_000)
    content = bytes(range(256)) * 4000
    hub.files[REPO, "main", "model.safetensors"] = content
    hub.cut = 500_000
    if int(version("huggingface_hub").split(".")[0]) < 1:  # does not ask again by itself
        with pytest.raises(WeightError, match=r"someone/deberta cannot be downloaded: .*IncompleteRead"):
            local_folder(REPO, [WEIGHTS], WeightError)
    folder = local_folder(REPO, [WEIGHTS], WeightError)
    assert (folder / "model.safetensors").read_bytes() == content
    assert next(asked for method, _, asked in hub.log if method == "GET") is None
    resumed = [asked for method, _, asked in hub.log if method == "GET"][1]
    assert 0 < int(resumed.removeprefix("bytes=").split("-")[0]) <= 500_000


def test_without_the_network(hub, monkeypatch):
    folder = local_folder(REPO, [CONFIG, WEIGHTS], WeightError)
    hub.shutdown()
    hub.server_close()
    assert local_folder(REPO, [CONFIG, WEIGHTS], WeightError) == folder  # the cache stands in
    assert local_folder(REPO, [CONFIG, WEIGHTS], WeightError, local_files_only=True) == folder
    with pytest.raises(WeightError, match=r"someone/other is no folder here, the hub cannot be reached"):
        local_folder("someone/other", [CONFIG], WeightError)
    with pytest.raises(WeightError, match=r"has no config\.json\. Only the cache was looked at"):
        local_folder("someone/other", [CONFIG], WeightError, local_files_only=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert local_folder(REPO, [CONFIG, WEIGHTS], WeightError) == folder
    with pytest.raises(WeightError, match=r"has no config\.json\. Only the cache was looked at"):
        local_folder("someone/other", [CONFIG], WeightError)


def test_tokens(hub):
    hub.files["someone/gated", "main", "config.json"] = b"{}"
    hub.tokens["someone/gated"] = "hf_secret"
    with pytest.raises(ConfigError, match="someone/gated is gated: ask for access") as refused:
        local_folder("someone/gated", [CONFIG], ConfigError, token="hf_wrong")
    assert "hf_wrong" not in str(refused.value)
    assert (local_folder("someone/gated", [CONFIG], ConfigError, token="hf_secret") / "config.json").is_file()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("someone/nothing", {}, "someone/nothing is no folder here and no repository of the hub"),
        (REPO, {"revision": "v9"}, "someone/deberta has no revision 'v9'"),
        ("someone/x--y", {}, "is no folder here and no hub id"),
    ],
)
def test_what_is_not_there(hub, name, options, message):
    with pytest.raises(ConfigError, match=message):
        local_folder(name, [CONFIG], ConfigError, **options)


def test_a_repository_without_the_file(hub):
    with pytest.raises(WeightError, match=r"someone/deberta has no spm\.model or tokenizer\.json\. Choose"):
        local_folder(REPO, [Wanted(("spm.model", "tokenizer.json"))], WeightError)
    folder = local_folder(REPO, [CONFIG, Wanted(("added_tokens.json",), required=False)], WeightError)
    assert [file.name for file in folder.iterdir()] == ["config.json"]
    with pytest.raises(WeightError, match=r"has none of added_tokens\.json"):
        local_folder(REPO, [Wanted(("added_tokens.json",), required=False)], WeightError)


def test_options_are_parted():
    assert split_hub_options({"revision": "x", "num_labels": 3}) == ({"revision": "x"}, {"num_labels": 3})


# What is loaded by name


def test_configurations(hub_server, small_config, tmp_path):
    small_config.save_pretrained(tmp_path / "folder")
    hub_server.publish("someone/small", tmp_path / "folder")
    for cls in (AutoConfig, DebertaV2Config):
        config = cls.from_pretrained("someone/small", revision="main", cache_dir=tmp_path / "mine", num_labels=5)
        assert config == small_config.replace(num_labels=5)
    with pytest.raises(ConfigError, match="someone/small has no revision 'old'"):
        AutoConfig.from_pretrained("someone/small", revision="old")
    with pytest.raises(ConfigError, match="has no field revisions"):
        AutoConfig.from_pretrained("someone/small", revisions="main")


def test_tokenizers(hub_server, small_tokenizer, small_byte_tokenizer, prose, tmp_path):
    for name, tokenizer, cls in (
        ("someone/v3", small_tokenizer, DebertaV2TokenizerFast),
        ("someone/v1", small_byte_tokenizer, DebertaTokenizerFast),
    ):
        tokenizer.save_pretrained(tmp_path / name)
        hub_server.publish(name, tmp_path / name)
        loaded = AutoTokenizer.from_pretrained(name, model_max_length=20)
        assert type(loaded) is cls
        assert loaded(prose, truncation=True) == tokenizer(prose, truncation=True, max_length=20)
        assert cls.from_pretrained(name, local_files_only=True)(prose) == tokenizer(prose)
    with pytest.raises(TokenizationError, match="someone/other is no folder here and no repository"):
        AutoTokenizer.from_pretrained("someone/other")
    with pytest.raises(InputError, match="revisions"):
        AutoTokenizer.from_pretrained("someone/v3", revisions="main")


SECRET = "hf_abcdefgh"


@pytest.mark.parametrize("token", [f"{SECRET}\n", f"{SECRET}\0", f"{SECRET} x", f"{SECRET}\r\nx", f"{SECRET}ü", ""])
def test_a_token_that_is_none_is_never_shown(hub, token):
    with pytest.raises(ConfigError, match="token") as caught:
        local_folder(REPO, [CONFIG], ConfigError, token=token)
    problem = caught.value
    while problem is not None:
        assert SECRET not in f"{problem!r}"
        problem = problem.__cause__ or problem.__context__
    assert hub.log == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"revision": 5}, r"revision=5 is not allowed\. Give the name of a branch or tag, a commit, or None"),
        ({"revision": b"main"}, r"revision=b'main' is not allowed"),
        ({"revision": ""}, r"revision='' is not allowed"),
        ({"revision": "a\0b"}, r"revision='a\\x00b' is not allowed"),
        ({"cache_dir": 5}, r"cache_dir=5 is not allowed\. Give a folder, or None"),
        ({"token": 5}, r"token \(a int\) is not allowed"),
    ],
)
def test_options_of_another_kind(hub, options, message):
    with pytest.raises(ConfigError, match=message):
        local_folder(REPO, [CONFIG], ConfigError, **options)
    assert hub.log == []


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "a\\b", "a\0b", 5])
def test_shards_must_lie_beside_their_index(hub, name):
    hub.files = {(REPO, "main", "model.safetensors.index.json"): json.dumps({"weight_map": {"a": name}}).encode()}
    with pytest.raises(WeightError, match=r"names files outside its folder|is not a string"):
        local_folder(REPO, [WEIGHTS], WeightError)
