"""Configurations that no fact is read from, which loaders read all the same."""

import json

import pytest

from mbom.facts.sideconfigs import side_configs

EVIL = b'{"auto_map": {"AutoProcessor": "evil/repo--processing.Evil"}}'
OWN = b'{"auto_map": {"AutoProcessor": "processing_own.Own"}}'


def found(side: dict[str, bytes], *files: str, remote: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(item.id, item.path) for item in side_configs(side, files, remote)]


@pytest.mark.parametrize(
    "name",
    ["generation_config.json", "preprocessor_config.json", "Processor_Config.json", "vision/config.json",
     "a/b/tokenizer_config.json", "adapter_config.json", "params.json"],
)  # fmt: skip
def test_code_from_elsewhere_is_found_in_every_configuration(name: str) -> None:
    assert found({name: EVIL}) == [("remote-code-elsewhere", name)]


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "results.json", "config.yaml", "README.md"])
def test_files_that_others_read_or_nobody_are_left_to_them(name: str) -> None:
    assert found({name: EVIL}) == []


@pytest.mark.parametrize(
    "data", [b"", b"{", b'{"a": 1, "a": 2}', b'{"a": NaN}', b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "doubled", "NaN", "UTF-16", "deep"],
)  # fmt: skip
def test_one_that_cannot_be_read_in_one_way_is_an_error_at_the_root(data: bytes) -> None:
    assert found({"generation_config.json": data}) == [("config-malformed", "generation_config.json")]
    assert found({"vae/config.json": data}) == [("config-unread", "vae/config.json")]


def test_any_other_document_says_nothing() -> None:
    assert found({"generation_config.json": b"[1]", "a/config.json": b"{}"}) == []
    assert found({"generation_config.json": b'{"auto_map": 5}'}) == [("config-field", "generation_config.json")]


def test_code_of_the_checkpoint_must_be_there() -> None:
    side = {"processor_config.json": OWN}
    assert found(side) == [("remote-code-missing", "processor_config.json")]
    assert found(side, "processing_own.py") == []
    assert found({"part/config.json": OWN}, "part/processing_own.py") == []
    assert found(side, "other/processing_own.py") == [("remote-code-missing", "processor_config.json")]


def test_what_the_facts_read_is_looked_for_too() -> None:
    asked = ("config.json: AutoModel = modeling_x.X", "config.json: AutoConfig = other/repo--modeling_x.X")
    assert found({}, remote=asked) == [("remote-code-missing", "config.json")]
    assert found({}, "modeling_x.py", remote=asked) == []


def test_a_hostile_map_ends_in_findings() -> None:
    names = {f"Auto{number}": f"m{number}.C" for number in range(60)}
    (missing,) = side_configs({"x_config.json": json.dumps({"auto_map": names}).encode()}, [], [])
    assert missing.id == "remote-code-missing"
    assert len(missing.detail) < 500
