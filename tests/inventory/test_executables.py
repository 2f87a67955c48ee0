"""What files could run: hostile pickles and archives, CPython's own unpickler as the oracle, limits."""

import collections
import gzip
import io
import json
import pickle
import pickletools
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from checkpoints import write_checkpoint
from hostilepickles import CALL, HOSTILE, UNREADABLE, zipped
from unpicklers import asked

from mbom.inventory import archives, executables, harmless, pickles, scan
from mbom.inventory.executables import Contents, contents
from mbom.inventory.pickles import Budget, follow
from mbom.inventory.views import BytesView, FileView
from mbom.source import FolderSource


def look(data: bytes, name: str = "x.pkl") -> Contents:
    return contents(BytesView(data), name)


@pytest.mark.parametrize(("name", "data", "named"), HOSTILE.values(), ids=HOSTILE)
def test_every_hostile_file_is_reported_by_what_it_names(name: str, data: bytes, named: str) -> None:
    found = look(data, name)
    assert named in found.globals
    assert named in harmless.harmful(found.globals)


@pytest.mark.parametrize(("name", "data", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_looked_into_is_said(name: str, data: bytes, sentence: str) -> None:
    assert sentence in " ".join(look(data, name).unread)


PLAIN = [data for name, data, _ in HOSTILE.values() if name == "x.pkl" and len(data) < 4096]


@pytest.mark.parametrize("data", PLAIN)
def test_the_lister_names_what_cpython_would_import(data: bytes) -> None:
    wanted, gave_up = asked(data)
    listed = {*follow(BytesView(data), 0, Budget()).globals}
    assert (
        wanted - {"builtins.str"} <= {*listed, "os.system"} if any("?" in name for name in listed) else wanted <= listed
    )
    if not gave_up:
        assert wanted == listed


def test_whatever_cpython_would_import_of_mutated_streams_is_listed() -> None:
    chance = random.Random(6)
    codes = [ord(info.code) for info in pickletools.opcodes if info.name != "BYTEARRAY8"]  # allocates what it claims
    opened = 0
    for _ in range(6000):
        data = bytearray(chance.choice(PLAIN))
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            match chance.randrange(4):
                case 0:
                    data[at] = chance.choice(codes)
                case 1:
                    data[at] = chance.randrange(128)
                case 2:
                    del data[at : at + chance.randrange(1, 4)]
                    data = data or bytearray(b".")
                case 3:
                    data[at:at] = bytes(chance.choices(codes, k=chance.randrange(1, 4)))
        stream = bytes(data)
        wanted, _ = asked(stream)
        found = follow(BytesView(stream), 0, Budget())
        missed = {name for name in wanted - {*found.globals} if "?" not in name}
        # A name that the pickle computes shows as a question mark in place of it.
        assert not missed or any("?" in name for name in found.globals), (stream, missed, found)
        opened += bool(wanted)
    assert opened > 1000


def test_opcodes_are_followed_as_pickletools_reads_them() -> None:
    value = {"a": [1, 2.5, None, True, (1, 2), {3}], "b": "é" * 300, "c": bytes(300), "d": collections.OrderedDict(x=1)}
    for protocol in range(6):
        data = pickle.dumps(value, protocol)
        budget = Budget()
        found = follow(BytesView(data), 0, budget)
        assert (found.fault, found.end) == (None, len(data))
        assert pickles.OPCODES_LIMIT - budget.opcodes == sum(1 for _ in pickletools.genops(data))


def test_frames_as_they_are_written_are_followed() -> None:
    value = [list(range(100_000)), bytes(200_000), "x" * 200_000, [str(number) for number in range(30_000)]]
    for protocol in (4, 5):
        data = pickle.dumps(value, protocol)
        assert data.count(b"\x95") > 2
        found = follow(BytesView(data), 0, Budget())
        assert (found.fault, found.end, found.globals) == (None, len(data), ())


def test_what_torch_saves_is_known_to_be_harmless() -> None:
    torch = pytest.importorskip("torch")
    state = collections.OrderedDict(a=torch.zeros(3, dtype=torch.bfloat16), b=torch.nn.Parameter(torch.zeros(2)))
    for modern in (True, False):
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=modern)
        found = look(buffer.getvalue(), "pytorch_model.bin")
        assert found.format == ("pytorch" if modern else "pickle")
        assert "torch._utils._rebuild_tensor_v2" in found.globals
        assert harmless.harmful(found.globals) == ()
        assert found.unread == ()


def test_nothing_is_harmless_that_torch_does_not_take_as_weights() -> None:
    pytest.importorskip("torch")
    from torch._weights_only_unpickler import _get_allowed_globals

    taken = {*_get_allowed_globals()}
    ours = {name for name in harmless.HARMLESS if name.startswith("torch.")}
    assert ours <= taken
    # These build what they are told to build.
    assert {name for name in taken if "Storage" in name or name.startswith("torch._")} - ours <= {
        "torch._tensor._rebuild_from_type_v2",
        "torch._utils._rebuild_wrapper_subclass",
    }


@pytest.mark.parametrize("name", sorted(harmless.HARMLESS))
def test_no_name_is_both_harmless_and_able_to_run_something_by_name(name: str) -> None:
    assert name.rpartition(".")[2] not in {"eval", "exec", "getattr", "open", "system", "load", "loads", "__import__"}


TEXTS = {
    "README.md": b"---\nlicense: mit\n---\nconfig\n",
    "notes.txt": b"cat\ndog\nbird\n",
    "call.txt": b"config\nfoo\nR.",
    "setup.py": b"import os\nimport sys\n\nprint(1)\n",
    "config.json": b'{"a": 1}',
    "vocab.txt": b"[PAD]\n[UNK]\n",
    "merges.txt": b"#version: 0.2\nc a\n",
    "dot": b"N.",
    "empty": b"",
    "LICENSE": b"(c) 2026 somebody.\n",
    "x.bin": b"\x80\x02\0\0\0\0\0\0" + bytes(64),
}


@pytest.mark.parametrize(("name", "data"), TEXTS.items(), ids=TEXTS)
def test_what_runs_nothing_is_not_reported(name: str, data: bytes) -> None:
    assert look(data, name) == Contents()


def test_a_header_length_that_looks_like_a_pickle_is_none(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    assert scan(FolderSource(folder)).contents == {}


FORMATS = {
    "gguf": ("model.bin", b"GGUF\3\0\0\0"),
    "onnx": ("model.onnx", b"\x08\x07"),
    "hdf5": ("weights", b"\x89HDF\r\n\x1a\n"),
    "tflite": ("m", b"\0\0\0\0TFL3"),
    "elf": ("libx", b"\x7fELF"),
    "script": ("run", b"#!/bin/sh\n"),
    "zip": ("a", zipped({"a.txt": b"x"})),
    "keras": ("m.keras", zipped({"config.json": b"{}", "model.weights.h5": b""})),
    "torchscript": ("m.pt", zipped({"m/constants.pkl": pickle.dumps(()), "m/data.pkl": pickle.dumps(1)})),
    "tensorflow": ("saved_model.pb", b"\x08\1"),
}


@pytest.mark.parametrize(("kind", "name", "data"), [(kind, *case) for kind, case in FORMATS.items()], ids=FORMATS)
def test_formats_are_told_by_their_first_bytes_or_their_suffix(kind: str, name: str, data: bytes) -> None:
    found = look(data, name)
    assert (found.format, found.unread) == (kind, ())


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_keras_layer_of_python_code_is_found(method: int) -> None:
    config = json.dumps({"layers": [{"class_name": "Dense"}] * 200 + [{"class_name": "Lambda"}]}).encode()
    data = zipped({"config.json": config, "model.weights.h5": b""}, method=method)
    assert look(data, "m.keras").layers
    assert not look(zipped({"config.json": config[:-60]}, method=method), "m.keras").layers


def test_a_keras_layer_of_python_code_is_found_however_its_name_is_spelled() -> None:
    escaped = rb'{"class\u005fname": "L\u0061mbda"}'
    assert look(zipped({"config.json": escaped}), "m.keras").layers
    twice = look(zipped({"config.json": b'{"class_name": "Lambda", "class_name": "Dense"}'}), "m.keras")
    assert twice.layers
    assert twice.unread == ("config.json: a configuration: the key 'class_name' occurs twice in one object",)


def test_the_report_names_first_what_can_run_anything(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    names = b"".join(b"c%s\n0" % name for name in (b"a.b\nC", b"os\nsystem", b"collections\nOrderedDict"))
    (folder / "training_args.bin").write_bytes(b"\x80\x02" + names + b"N.")
    (folder / "m.keras").write_bytes(zipped({"config.json": b'{"class_name": "Lambda"}'}))
    (folder / "cut.joblib").write_bytes(gzip.compress(CALL)[:-9])
    scanned = scan(FolderSource(folder))
    found = {item.id: item for item in scanned.inventory.findings}
    assert found["pickle-globals"].detail.startswith("it names 1 globals") or found["pickle-globals"].detail == (
        "it names 2 globals that weights do not need, 1 that can run anything, os.system, a.b.C"
    )
    assert found["keras-lambda"].path == "m.keras"
    assert found["pickle-unread"].path == "cut.joblib"
    assert {found[kind].severity for kind in ("pickle-globals", "keras-lambda", "pickle-unread")} == {"warning"}
    assert scanned.contents["training_args.bin"].globals == ("a.b.C", "collections.OrderedDict", "os.system")


def test_many_files_of_which_the_same_holds_are_one_finding(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model")
    for number in range(9):
        (folder / f"pytorch_model-{number}.bin").write_bytes(CALL)
    found = [item for item in scan(FolderSource(folder)).inventory.findings if item.id == "pickle-globals"]
    assert len(found) == 1
    assert found[0].detail.endswith("; so 9 files: pytorch_model-0.bin, pytorch_model-1.bin, pytorch_model-2.bin, "
                                    "pytorch_model-3.bin, pytorch_model-4.bin and 4 more")  # fmt: skip


# ---- limits ----
def test_a_stream_of_too_many_opcodes_ends_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "OPCODES_LIMIT", 1000)
    found = follow(BytesView(b"N0" * 1000 + CALL), 0, Budget(opcodes=1000))
    assert found.fault == "more than 1000 opcodes"


def test_names_and_memo_entries_are_limited() -> None:
    many = b"".join(b"ca\nb%d\n0" % number for number in range(pickles.GLOBALS_LIMIT + 10))
    found = look(many + b"N.")
    assert len(found.globals) == pickles.GLOBALS_LIMIT + 1
    assert "globals" in found.unread[0]
    far = b"N" + b"".join(b"r" + struct.pack("<I", 2 * number + 1) for number in range(pickles.EXTRA_LIMIT + 10))
    assert "memo" in look(far + b".").unread[0]
    assert "line" in look(b"c" + b"a" * (pickles.LINE_LIMIT + 9) + b"\nb\n." + bytes(1 << 17)).unread[0]
    long = look(b"c" + b"a" * 5000 + b"\nb\n.").globals[0]
    assert len(long) == pickles.NAME_LIMIT + 1


def test_archives_inside_each_other_end_with_a_word() -> None:
    data = CALL
    for _ in range(executables.DEPTH_LIMIT + 2):
        data = zipped({"inner.zip": data})
    assert any("nested deeper" in sentence for sentence in look(data, "m.zip").unread)


def test_a_compressed_bomb_costs_a_bounded_number_of_bytes() -> None:
    size = 150 << 20
    bomb = gzip.compress(b"\x80\x03B" + struct.pack("<I", size) + bytes(size), 1)
    tracemalloc.start()
    try:
        found = contents(BytesView(bomb), "m.joblib")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert any("there is more" in sentence for sentence in found.unread)
    assert peak < 4 * executables.UNPACKED_LIMIT


def test_more_members_than_any_checkpoint_has_end_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    data = zipped({f"a/{number}": b"x" for number in range(200)} | {"a/data.pkl": CALL})
    monkeypatch.setattr(archives, "DIRECTORY_LIMIT", 1 << 10)
    assert "directory is larger" in look(data, "m.pt").unread[0]


def test_a_large_file_is_looked_at_in_few_bytes(tmp_path: Path) -> None:
    class Counting(FileView):
        taken = 0

        def read(self, start: int, count: int) -> bytes:
            found = super().read(start, count)
            Counting.taken += len(found)
            return found

    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", CALL)
        for number in range(20):
            archive.writestr(f"m/data/{number}", bytes([number + 1]) * (1 << 20))
    with path.open("rb") as file:
        found = contents(Counting(file.fileno(), path.stat().st_size), path.name)
    assert found.globals == ("os.system",)
    assert Counting.taken < 1 << 19


def test_mutated_archives_end_in_contents() -> None:
    chance = random.Random(6)
    pool = [(name, data) for name, data, _ in [*HOSTILE.values(), *UNREADABLE.values()] if len(data) < 12_000]
    for _ in range(1500):
        name, data = chance.choice(pool)
        bent = bytearray(data)
        for _ in range(chance.randrange(1, 8)):
            bent[chance.randrange(len(bent))] = chance.choice((0, 1, 0x50, 0x7F, 0x80, 0xFF, chance.randrange(256)))
        if chance.random() < 0.2:
            del bent[chance.randrange(len(bent)) :]
        found = contents(BytesView(bytes(bent)), name)
        assert len(found.unread) <= executables.UNREAD_LIMIT
