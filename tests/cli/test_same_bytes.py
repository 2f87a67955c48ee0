"""The same checkpoint gives the same bytes: in another process, place, language, zone, order and year."""

import os
import random
import shutil
from pathlib import Path

import pytest
from attesting import FIXTURE
from checkpoints import files_below, random_tensors, write_checkpoint
from commands import mbom
from hubserver import HubServer

EPOCH = "1780000000"  # 2026-05-28

SIDE = {
    "config.json": b'{"model_type": "gpt_oss", "architectures": ["A", "B"], "num_hidden_layers": 30, "zeta": 1}',
    "README.md": "---\nlicense: [mit, apache-2.0]\nlanguage: [no, de, en]\ndatasets: [b/b, a/a]\n"
    "base_model: [o/z, o/a]\nlicense_link: Größe\n---\n# Größe\n".encode(),
    "tokenizer_config.json": b'{"chat_template": [{"name": "z", "template": "1"}, {"name": "a", "template": "2"}]}',
    "LICENSE": b"MIT License\n",
    "Ünïcode.md": b"x",
    "inner/b.json": b"{}",
    "inner/a.json": b"{}",
}
HERE = {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
ELSEWHERE = {
    "PYTHONHASHSEED": "4242",
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "PYTHONOPTIMIZE": "1",
}


def attested(source: Path | str, output: Path, home: Path, env: dict[str, str]) -> dict[str, bytes]:
    """Attest without behaviour and signature, and return the bundle's members by name."""
    done = mbom(
        "attest",
        source,
        "--no-behaviour",
        "--unsigned",
        "-o",
        output,
        home=home,
        env={"SOURCE_DATE_EPOCH": EPOCH} | env,
    )
    assert done.returncode == 0, done.stderr
    return {name: path.read_bytes() for name, path in files_below(output).items()}


def test_two_folders_of_one_name_in_two_worlds(home: Path, tmp_path: Path) -> None:
    first = write_checkpoint(tmp_path / "here" / "model", random_tensors(30), shards=3, side=SIDE)
    second = tmp_path / "a much longer way" / "to" / "model"
    second.mkdir(parents=True)
    held = list(files_below(first).items())
    random.Random(3).shuffle(held)  # the order in which a folder lists its files is that of their making
    for number, (name, path) in enumerate(held):
        (second / name).parent.mkdir(exist_ok=True)
        (second / name).write_bytes(path.read_bytes())
        os.utime(second / name, (number * 1e8, number * 1e8))
    one = attested(first, tmp_path / "one.mbom", home, HERE)
    other = attested(second, tmp_path / "other.mbom", home, ELSEWHERE)
    assert one["bom.cdx.json"] == other["bom.cdx.json"]
    assert one == other
    assert str(tmp_path).encode() not in one["bom.cdx.json"]


def test_two_runs_of_one_folder_differ_in_nothing_and_two_checkpoints_do(home: Path, tmp_path: Path) -> None:
    first = attested(FIXTURE, tmp_path / "one.mbom", home, HERE)
    assert attested(FIXTURE, tmp_path / "two.mbom", home, ELSEWHERE) == first
    later = attested(FIXTURE, tmp_path / "three.mbom", home, HERE | {"SOURCE_DATE_EPOCH": "1790000000"})
    assert later["bom.cdx.json"] != first["bom.cdx.json"]
    copy = tmp_path / FIXTURE.name
    shutil.copytree(FIXTURE, copy)
    (copy / "README.md").write_bytes((copy / "README.md").read_bytes() + b"\n")
    assert attested(copy, tmp_path / "four.mbom", home, HERE)["bom.cdx.json"] != first["bom.cdx.json"]


@pytest.mark.parametrize("cached", [True, False])
def test_two_runs_against_a_hub(home: Path, tmp_path: Path, *, cached: bool) -> None:
    """Once with what the first run fetched, once fetched again by somebody else from a hub at another address."""
    files = {path.name: path.read_bytes() for path in FIXTURE.iterdir()}
    bundles = []
    with HubServer() as hub, HubServer() as mirror:
        commits = {hub.push("acme/tiny", files), mirror.push("acme/tiny", dict(reversed(files.items())))}
        assert len(commits) == 1
        for server, user, env in ((hub, "one", HERE), (hub if cached else mirror, "two", ELSEWHERE)):
            cache = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / ("hf" if cached else user))}
            bundles.append(attested("acme/tiny", tmp_path / f"{user}.mbom", home, env | cache))
        assert hub.url.encode() not in bundles[0]["bom.cdx.json"]
    assert bundles[0] == bundles[1]
