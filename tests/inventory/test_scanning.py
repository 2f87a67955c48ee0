import json
import random
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import safetensors
from blake3 import blake3
from checkpoints import (
    SIDE_FILES,
    FolderAsHub,
    files_below,
    index_of,
    random_tensors,
    shard_names,
    write_checkpoint,
)
from hostilecheckpoints import HOSTILE

from mbom import digest, strictjson
from mbom.errors import MbomError, RefusedError, SourceError
from mbom.inventory import Inventory, ScanProgress, reading, scan
from mbom.inventory import scanning as module
from mbom.inventory.findings import KINDS
from mbom.inventory.roles import role
from mbom.source import Advertised, FolderSource, LocalFile
from mbom.tensorfile import dump

INDEX_FILE = "model.safetensors.index.json"
SHARDS = shard_names(2)


def hub(tmp_path: Path, **options: object) -> FolderAsHub:
    folder = tmp_path / "hub"
    if not folder.exists():
        write_checkpoint(folder)
    return replace(FolderAsHub(folder=folder, copies=tmp_path / "copies"), **options)  # type: ignore[arg-type]


def found(inventory: Inventory) -> dict[str, str]:
    return {finding.id: finding.path for finding in inventory.findings}


@pytest.mark.parametrize("shards", [0, 1, 2, 5])
def test_a_folder_gives_every_file_and_tensor_with_its_digest(tmp_path: Path, shards: int) -> None:
    tensors = random_tensors(30)
    folder = write_checkpoint(tmp_path / "model", tensors, shards=shards)
    result = scan(FolderSource(folder))
    inventory = result.inventory
    assert {file.name: (file.size, file.sha256, file.role) for file in inventory.files} == {
        name: (path.stat().st_size, digest.sha256(path.read_bytes()), role(name))
        for name, path in files_below(folder).items()
    }
    assert {t.name: (t.dtype, t.shape, t.blake3) for t in inventory.tensors} == {
        name: (dtype, shape, blake3(data).hexdigest()) for name, (dtype, shape, data) in tensors.items()
    }
    for tensor in inventory.tensors:
        assert (folder / tensor.file).read_bytes()[tensor.start : tensor.end] == tensors[tensor.name][2]
    assert (inventory.findings, inventory.declared) == ((), ())
    assert Inventory.from_bytes(inventory.to_bytes()) == inventory
    assert result.paths == files_below(folder)


def test_the_same_checkpoint_gives_the_same_bytes_whatever_the_threads(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", random_tensors(40), shards=7)
    assert len({scan(FolderSource(folder), threads=threads).inventory.to_bytes() for threads in (1, 2, 4)}) == 1


def test_side_files_are_the_bytes_that_were_hashed_and_weights_are_not_kept(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    result = scan(FolderSource(folder))
    assert result.side.keys() == {*SIDE_FILES, INDEX_FILE} - {".gitattributes"}
    hashed = {file.name: file.sha256 for file in result.inventory.files}
    assert all(digest.sha256(content) == hashed[name] for name, content in result.side.items())


def test_a_flood_of_side_files_cannot_push_out_those_at_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = {**SIDE_FILES, **{f"a/{n}/config.json": b" " * 1000 for n in range(20)}, "big_config.json": b" " * 3000}
    folder = write_checkpoint(tmp_path / "model", side=side)
    monkeypatch.setattr(module, "SIDE_TOTAL", 4000)
    monkeypatch.setattr(module, "SIDE_LIMIT", 2000)
    kept = scan(FolderSource(folder)).side
    assert {"config.json", "tokenizer.json", INDEX_FILE} <= kept.keys()
    assert "big_config.json" not in kept
    assert sum(map(len, kept.values())) <= 4000


def test_progress_ends_at_all_bytes_of_each_phase(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    reports: list[ScanProgress] = []
    scan(FolderSource(folder), progress=reports.append)
    last = {report.phase: report for report in reports}
    assert list(last) == ["files", "weights"]
    for report in last.values():
        assert (report.files_done, report.bytes_done) == (report.files_total, report.bytes_total)
    assert sum(report.bytes_total for report in last.values()) == sum(
        path.stat().st_size for path in files_below(folder).values()
    )
    amounts = [report.bytes_done for report in reports if report.phase == "weights"]
    assert amounts == sorted(amounts)


# What goes wrong on a disk or in a repository: each row changes an honest checkpoint and names the one finding.


def rewrite(path: Path, change: Callable[[bytearray], object]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def edit_index(folder: Path, change: Callable[[dict[str, str]], object]) -> None:
    path = folder / INDEX_FILE
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document["weight_map"])
    path.write_text(json.dumps(document), encoding="utf-8")


def truncate_a_shard(folder: Path) -> None:
    rewrite(folder / SHARDS[1], lambda data: data.pop())


def empty_a_shard(folder: Path) -> None:
    (folder / SHARDS[1]).write_bytes(b"")


def double_a_tensor_name(folder: Path) -> None:
    entry = '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}'
    header = f"{{{entry},{entry}}}".encode()
    (folder / SHARDS[1]).write_bytes(len(header).to_bytes(8, "little") + header + b"x")


def leave_a_pointer(folder: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 12345\n"
    (folder / SHARDS[1]).write_text(pointer, encoding="utf-8")


def leave_a_pointer_for_the_tokenizer(folder: Path) -> None:
    leave_a_pointer(folder)
    (folder / SHARDS[1]).rename(folder / "tokenizer.json")
    write_checkpoint(folder, side={})


def leave_a_web_page(folder: Path) -> None:
    (folder / SHARDS[1]).write_bytes(b"\n<!DOCTYPE html>\n<html><title>Sign in</title></html>")


def empty_the_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_bytes(b"")


def stuff_the_metadata(folder: Path) -> None:
    write_checkpoint(folder, shards=0)
    (folder / "model.safetensors").write_bytes(dump(random_tensors(9), {"notes": "x" * 70_000}))
    for name in (*SHARDS, INDEX_FILE):
        (folder / name).unlink()


def hide_a_pickle(folder: Path) -> None:
    (folder / "vocab.txt").write_bytes(b"\x80\x02ccollections\nOrderedDict\n.")


def add_code(folder: Path) -> None:
    (folder / "modeling_x.py").write_text("raise SystemExit\n", encoding="utf-8")


def add_an_archive(folder: Path) -> None:
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")


def add_a_stray_model(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(dump(random_tensors(9)))


def add_an_unlisted_shard(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").write_bytes(dump({"x": ("U8", (1,), b"x")}))


def add_another_set(folder: Path) -> None:
    (folder / "consolidated.safetensors").write_bytes(b"not looked into")


def add_an_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")


def remove_a_shard(folder: Path) -> None:
    (folder / SHARDS[0]).unlink()


def remove_the_index(folder: Path) -> None:
    (folder / INDEX_FILE).unlink()


def break_the_index(folder: Path) -> None:
    (folder / INDEX_FILE).write_bytes(b'{"weight_map": ')


def point_the_index_outside(folder: Path) -> None:
    edit_index(folder, lambda places: places.update({"secret": "../../secret.safetensors"}))


def forget_a_tensor(folder: Path) -> None:
    edit_index(folder, lambda places: places.pop("model.layers.0.weight"))


def promise_a_tensor(folder: Path) -> None:
    edit_index(folder, lambda places: places.update({"ghost": SHARDS[0]}))


def give_another_size(folder: Path) -> None:
    rewrite(folder / INDEX_FILE, lambda data: data.__setitem__(slice(None), data.replace(b'size": ', b'size": 1')))


def redirect_the_weights(folder: Path) -> None:
    (folder / "config.json").write_text('{"transformers_weights": "other.safetensors"}', encoding="utf-8")


DAMAGES = [
    ("safetensors-malformed", truncate_a_shard),
    ("safetensors-malformed", empty_a_shard),
    ("safetensors-malformed", double_a_tensor_name),
    ("safetensors-metadata", stuff_the_metadata),
    ("lfs-pointer", leave_a_pointer),
    ("lfs-pointer", leave_a_pointer_for_the_tokenizer),
    ("html-page", leave_a_web_page),
    ("empty-file", empty_the_tokenizer),
    ("pickle-present", hide_a_pickle),
    ("code-present", add_code),
    ("executable-format", add_an_archive),
    ("adapter-present", add_an_adapter),
    ("weights-shadowed", add_a_stray_model),
    ("weights-other-set", add_another_set),
    ("weights-missing", remove_the_index),
    ("weights-redirected", redirect_the_weights),
    ("index-missing-shard", remove_a_shard),
    ("index-unlisted-shard", add_an_unlisted_shard),
    ("index-malformed", break_the_index),
    ("index-traversal", point_the_index_outside),
    ("index-unlisted-tensor", forget_a_tensor),
    ("index-missing-tensor", promise_a_tensor),
    ("index-total-size", give_another_size),
]


@pytest.mark.parametrize(("kind", "damage"), DAMAGES, ids=[damage.__name__ for _, damage in DAMAGES])
def test_damage_is_one_finding_and_everything_else_is_still_recorded(
    tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    folder = write_checkpoint(tmp_path / "model")
    damage(folder)
    inventory = scan(FolderSource(folder)).inventory
    assert [finding.id for finding in inventory.findings] == [kind]
    assert inventory.findings[0].severity == KINDS[kind].severity
    assert [file.name for file in inventory.files] == sorted(files_below(folder))
    assert inventory.tensors
    assert Inventory.from_bytes(inventory.to_bytes()) == inventory


def test_a_library_that_reads_another_table_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "model", shards=0)
    other = write_checkpoint(tmp_path / "other", random_tensors(8), shards=0) / "model.safetensors"
    monkeypatch.setattr(reading, "safe_open", lambda _, **options: safetensors.safe_open(other, **options))
    inventory = scan(FolderSource(folder)).inventory
    assert found(inventory) == {"safetensors-disagrees": "model.safetensors"}
    assert len(inventory.tensors) == 9


def test_every_kind_of_finding_has_a_test() -> None:
    of_the_facts = {kind for kind in KINDS if kind.startswith(("card-", "licence-", "template-"))}  # tests/facts
    attacked = {kind for case in HOSTILE for kind in case.expected}
    of_peers = {"safetensors-disagrees"}  # test_reading.py, with another file given to the library
    assert {kind for kind, _ in DAMAGES} | attacked | of_the_facts | of_peers == KINDS.keys()


def test_a_tensor_in_two_shards_is_recorded_where_the_index_places_it(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    twice = "model.layers.0.weight"
    parts = {
        SHARDS[0]: {**random_tensors(1, seed=1), "first": ("U8", (1,), b"x")},
        SHARDS[1]: random_tensors(3, seed=2),
    }
    folder.mkdir()
    for name, part in parts.items():
        (folder / name).write_bytes(dump(part))
    (folder / INDEX_FILE).write_text(json.dumps(index_of(parts)), encoding="utf-8")  # the last one counts
    inventory = scan(FolderSource(folder)).inventory
    assert found(inventory)["index-unlisted-tensor"] == SHARDS[0]
    (tensor,) = (tensor for tensor in inventory.tensors if tensor.name == twice)
    assert (tensor.file, tensor.blake3) == (SHARDS[1], blake3(parts[SHARDS[1]][twice][2]).hexdigest())
    assert Inventory.from_bytes(inventory.to_bytes()) == inventory


def test_a_file_whose_place_in_a_cache_promises_another_digest_is_a_finding(tmp_path: Path) -> None:
    content = b'{"model_type": "llama"}'
    repo = tmp_path / "models--org--model"
    snapshot = repo / "snapshots" / ("c" * 40)
    write_checkpoint(snapshot, shards=0)
    blob = repo / "blobs" / digest.git_blob(content)
    blob.parent.mkdir()
    blob.write_bytes(content.replace(b"llama", b"lIama"))
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to(Path("../../blobs") / blob.name)
    inventory = scan(FolderSource(snapshot)).inventory
    assert found(inventory) == {"digest-mismatch": "config.json"}
    assert digest.git_blob(content) in inventory.findings[0].detail
    blob.write_bytes(content)
    assert found(scan(FolderSource(snapshot)).inventory) == {}


def test_from_the_hub_only_the_checkpoint_is_fetched(tmp_path: Path) -> None:
    source = hub(tmp_path)
    (source.folder / "original").mkdir()
    (source.folder / "original" / "consolidated.00.pth").write_bytes(b"PK\x03\x04")
    (source.folder / "original" / "params.json").write_bytes(b"{}")
    inventory = scan(source).inventory
    assert "original/consolidated.00.pth" not in source.fetched
    assert "original/params.json" in source.fetched
    (declared,) = inventory.declared
    assert (declared.name, declared.sha256) == ("original/consolidated.00.pth", digest.sha256(b"PK\x03\x04"))
    assert inventory.origin == source.origin
    assert len(inventory.tensors) == 9

    everything = scan(source, everything=True).inventory
    assert everything.declared == ()
    assert len(everything.files) == len(inventory.files) + 1
    assert everything.tensors == inventory.tensors


def test_weights_stay_on_the_hub_when_the_index_alone_gives_an_error(tmp_path: Path) -> None:
    source = hub(tmp_path)
    remove_a_shard(source.folder)
    inventory = scan(source).inventory
    assert "index-missing-shard" in found(inventory)
    assert SHARDS[1] not in source.fetched
    assert [file.name for file in inventory.declared] == [SHARDS[1]]


@pytest.mark.parametrize("name", [SHARDS[0], "config.json"])
def test_a_bad_copy_from_the_hub_is_fetched_once_more(tmp_path: Path, name: str) -> None:
    honest = scan(hub(tmp_path)).inventory
    good = (tmp_path / "hub" / name).read_bytes()
    source = hub(tmp_path, spoiled={name: [good[:-1] + bytes([good[-1] ^ 1])]})
    assert scan(source).inventory == honest
    assert source.refetched == [name]


@pytest.mark.parametrize("name", [SHARDS[0], "config.json"])
@pytest.mark.parametrize("spoil", [lambda good: good[:-1] + b"?", lambda good: good + b"?"], ids=["content", "size"])
def test_a_hub_that_sends_the_wrong_bytes_twice_is_refused(
    tmp_path: Path, name: str, spoil: Callable[[bytes], bytes]
) -> None:
    good = (hub(tmp_path).folder / name).read_bytes()
    source = hub(tmp_path, spoiled={name: [spoil(good)] * 2})
    with pytest.raises(RefusedError, match="fetched twice") as refusal:
        scan(source)
    assert str(refusal.value).startswith(name)
    assert source.refetched == [name]


@dataclass(kw_only=True)
class Misbehaving(FolderAsHub):
    """A source that leaves out a file, or lists a name that cannot be recorded."""

    without: str | None = None
    listed_too: str | None = None

    def listing(self) -> tuple[Advertised, ...]:
        extra = (Advertised(name=self.listed_too, size=1),) if self.listed_too is not None else ()
        return (*super().listing(), *extra)

    def fetch(self, names: Iterable[str]) -> Iterator[LocalFile]:
        return super().fetch([name for name in names if name != self.without])


def test_a_file_that_is_listed_and_not_delivered_is_an_error(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "hub")
    with pytest.raises(SourceError, match=r"config\.json: listed by the source, and not delivered"):
        scan(Misbehaving(folder=folder, copies=tmp_path / "copies", without="config.json"))


@pytest.mark.parametrize("name", ["../x", "/x", "a\nb", "a\\b", ""])
def test_a_name_that_cannot_be_recorded_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_checkpoint(tmp_path / "hub")
    with pytest.raises(RefusedError, match="file name"):
        scan(Misbehaving(folder=folder, copies=tmp_path / "copies", listed_too=name))


def test_an_error_in_one_file_ends_the_other_threads(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", shards=5)

    class Interrupted(BaseException):
        pass

    def interrupt(report: ScanProgress) -> None:
        if report.phase == "weights":
            raise Interrupted

    with pytest.raises(Interrupted):
        scan(FolderSource(folder), progress=interrupt)
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("mbom-read")]


def test_hostile_names_in_an_index_are_escaped_in_findings(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    edit_index(folder, lambda places: places.update({"\x1b[2J\u202egpj": SHARDS[0], "x": "\x1b]0;evil\x07/../.."}))
    inventory = scan(FolderSource(folder)).inventory
    assert found(inventory).keys() == {"index-missing-tensor", "index-traversal"}
    assert all(finding.detail.isprintable() for finding in inventory.findings)
    assert Inventory.from_bytes(inventory.to_bytes()) == inventory


def test_random_damage_to_any_file_ends_in_findings_or_a_plain_error(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    honest = {name: path.read_bytes() for name, path in files_below(folder).items()}
    clean = scan(FolderSource(folder)).inventory.digest
    chance = random.Random(7)
    for number in range(60):
        name = sorted(honest)[number % len(honest)]
        damaged = bytearray(honest[name])
        at = chance.randrange(len(damaged))
        damaged[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        (folder / name).write_bytes(damaged)
        try:
            inventory = scan(FolderSource(folder)).inventory
        except MbomError:
            continue
        finally:
            (folder / name).write_bytes(honest[name])
        assert (inventory.digest == clean) is (bytes(damaged) == honest[name])
        assert Inventory.from_bytes(inventory.to_bytes()) == inventory


def test_an_index_beyond_the_limit_is_malformed_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "model")
    monkeypatch.setattr(module, "SIDE_LIMIT", 100)
    inventory = scan(FolderSource(folder)).inventory
    assert found(inventory) == {"index-malformed": INDEX_FILE}
    assert str(strictjson.SIZE_LIMIT) in inventory.findings[0].detail
