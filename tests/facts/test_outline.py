"""Facts from headers: shards that hold nothing but a header, as long as the real ones and without their data."""

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

import boms
import published
import pytest
from checkpoints import CONFIG, write_checkpoint
from shapes import Entry, records

from mbom.errors import RefusedError, SourceError, UsageError
from mbom.facts import outline, survey
from mbom.inventory.headers import UNREAD
from mbom.source import Advertised, FolderSource, Origin


def write_shard(path: Path, entries: Iterable[Entry]) -> None:
    """Write a header, padded, and let the file end where the data would: a hole takes no room on the disk."""
    table = records(entries)
    first = table[0].start
    header = {
        t.name: {"dtype": t.dtype, "shape": list(t.shape), "data_offsets": [t.start - first, t.end - first]}
        for t in table
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + table[-1].end - first)


def write_model(folder: Path, name: str, shards: int = 3) -> Path:
    """Write a published model: its side files, and its tensors in several shards with an index."""
    for file, data in boms.side_of(name).items():
        (folder / file).write_bytes(data)
    entries = sorted(published.TABLES[name]())
    weight_map: dict[str, str] = {}
    for number in range(shards):
        part = entries[number::shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        write_shard(folder / file, part)
        weight_map |= {tensor: file for tensor, _, _ in part}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder


@pytest.mark.parametrize("name", ["gpt-oss-120b", "qwen3.5-397b-a17b", "nemotron-3-nano"])
def test_headers_alone_give_the_facts_of_the_whole_checkpoint(name: str, tmp_path: Path) -> None:
    folder = write_model(tmp_path, name)
    before = time.monotonic()
    found = outline(FolderSource(folder))
    assert time.monotonic() - before < 20
    whole = boms.of(name).facts
    assert found.facts.parameters == whole.parameters
    assert found.facts.architecture == whole.architecture
    assert found.facts.footprint == whole.footprint
    assert found.facts.card == whole.card
    assert found.facts.tensors.structure == whole.tensors.structure
    assert found.facts.tensors.values is None
    assert {tensor.blake3 for tensor in found.inventory.tensors} == {UNREAD}
    assert not [finding for finding in found.findings if finding.severity == "error"]
    assert sum(path.stat().st_blocks * 512 for path in folder.iterdir()) < 64 << 20  # no data anywhere


def test_a_small_checkpoint_has_the_facts_and_findings_that_a_survey_gives_it(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    (folder / "README.md").write_bytes(b"---\nlicense: mit\n---\n")
    (folder / "helper.py").write_text("print()\n")
    seen, surveyed = outline(FolderSource(folder)), survey(FolderSource(folder))
    assert seen.facts.parameters == surveyed.facts.parameters
    assert seen.facts.card == surveyed.facts.card
    assert seen.facts.tensors.structure == surveyed.facts.tensors.structure
    assert seen.findings == surveyed.inventory.findings
    assert [(f.name, f.size, f.role) for f in seen.inventory.files] == [
        (f.name, f.size, f.role) for f in surveyed.inventory.files
    ]


def test_a_broken_header_costs_its_own_tensors_and_no_other_fact(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    shard = next(iter(sorted(folder.glob("*.safetensors"))))
    os.truncate(shard, shard.stat().st_size - 1)
    found = outline(FolderSource(folder))
    assert "safetensors-malformed" in {finding.id for finding in found.findings}
    assert found.facts.model_type == CONFIG["model_type"]
    assert (
        found.facts.parameters.total < survey(FolderSource(write_checkpoint(tmp_path / "sound"))).facts.parameters.total
    )


def test_a_missing_shard_is_found(tmp_path: Path) -> None:
    folder = write_model(tmp_path, "gpt-oss-20b")
    (folder / "model-00002-of-00003.safetensors").unlink()
    assert "index-missing-shard" in {finding.id for finding in outline(FolderSource(folder)).findings}


def test_a_link_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    shard = next(iter(sorted(folder.glob("*.safetensors"))))
    shard.rename(tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises((RefusedError, SourceError)):
        outline(FolderSource(folder))


class Remote(FolderSource):
    """A folder that says it is on the hub."""

    @property
    def origin(self) -> Origin:
        return Origin(kind="hub", name="model", repo="org/model", revision="0" * 40)

    def listing(self) -> tuple[Advertised, ...]:
        raise AssertionError("nothing is listed of a checkpoint that is not read")


def test_a_checkpoint_on_the_hub_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="headers alone are read from a folder only"):
        outline(Remote(tmp_path))
