"""Pickles, archives, code and programs, each of which would make the canary if anybody ran it."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from hostilepickles import UNREADABLE, array, tarred, zipped

from hostilecheckpoints.case import Build, Scene, added, cases, error, warning

GLOBALS = warning("pickle-globals", "pickle-present")


class Runs:
    """Whatever unpickles this runs a command."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        import os

        return os.system, (self.command,)


def payload(scene: Scene, protocol: int = 4) -> bytes:
    """Return a pickle that makes the canary."""
    return pickle.dumps(Runs(scene.command), protocol)


def pickled(name: str, wrap: Callable[[bytes], bytes] = bytes, *, protocol: int = 4) -> Build:
    """Return what adds a pickle, wrapped in something."""
    return lambda scene: scene.write(name, wrap(payload(scene, protocol)))


def pytorch(data: bytes) -> bytes:
    return zipped({"archive/data.pkl": data, "archive/version": b"3\n", "archive/data/0": bytes(64)})


def deflated(data: bytes) -> bytes:
    return zipped({"archive/data.pkl": data}, method=zipfile.ZIP_DEFLATED)


def keras(scene: Scene) -> None:
    layer = {"class_name": "Lambda", "config": {"function": ["eval", scene.command]}}
    config = json.dumps({"class_name": "Functional", "config": {"layers": [layer]}}).encode()
    scene.write("model.keras", zipped({"config.json": config, "model.weights.h5": b"\x89HDF\r\n\x1a\n"}))


def bomb(scene: Scene) -> None:
    """Write a zip archive of 8 GB in as many megabytes."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packed.compress(bytes(1 << 20)) + packed.flush(zlib.Z_FULL_FLUSH)
    again = zlib.compressobj(9, zlib.DEFLATED, -15)
    tail = again.compress(bytes(1 << 20)) + again.flush(zlib.Z_FULL_FLUSH)
    data = block + tail * 8191
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
    stored = bytearray(buffer.getvalue())
    for magic, method in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        struct.pack_into("<H", stored, stored.rindex(magic) + method, zipfile.ZIP_DEFLATED)
    scene.write("pytorch_model.bin", bytes(stored))


def nested_archives(scene: Scene) -> None:
    data = payload(scene)
    for _ in range(12):
        data = zipped({"inner.zip": data})
    scene.write("weights.zip", data)


def many_members(scene: Scene) -> None:
    """Write an archive of 120,000 members in a directory that names the same bytes again and again."""
    local = b"PK\x03\x04" + struct.pack("<5H3I2H", 20, 0, 0, 0, 0, 0, 0, 0, 1, 0) + b"a"
    entry = b"PK\x01\x02" + struct.pack("<6H3I5H2I", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    count = 120_000
    end = b"PK\x05\x06" + struct.pack("<4H2IH", 0, 0, 0xFFFF, 0xFFFF, count * len(entry), len(local), 0)
    scene.write("weights.zip", local + entry * count + end)


def script(name: str, body: str = "{}\n") -> Build:
    return lambda scene: scene.write(name, body.format(scene.command))


def python(name: str) -> Build:
    return lambda scene: scene.write(name, f"import os\nos.system({scene.command!r})\n")


def notebook(scene: Scene) -> None:
    cell = {"cell_type": "code", "source": [f"!{scene.command}"], "metadata": {}, "outputs": []}
    scene.write("demo.ipynb", json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))


def tagged_card(scene: Scene) -> None:
    scene.write("README.md", f"---\nlicense: !!python/object/apply:os.system [{scene.command!r}]\n---\n")


def bomb_card(scene: Scene) -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    scene.write("README.md", "---\n" + "\n".join(lines) + "\n---\n")


ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 3, 62, 1) + bytes(40)
PE = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0" + bytes(60)
GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)

CASES = [
    *cases("pickle", {
        **{f"protocol {n}": (pickled("evil.pkl", protocol=n), GLOBALS) for n in (0, 1, 2, 3, 5)},
        "called .bin": (pickled("pytorch_model.bin"), GLOBALS),
        "called .pt": (pickled("weights.pt", pytorch), GLOBALS),
        "called .ckpt, deflated": (pickled("weights.ckpt", deflated), GLOBALS),
        "called .safetensors": (
            pickled("extra.safetensors"), GLOBALS),
        "called .json": (pickled("more.json"), GLOBALS),
        "called .txt": (pickled("notes.txt"), GLOBALS),
        "called .gguf": (pickled("model.gguf"), GLOBALS),
        "called like nothing": (pickled("vocab", protocol=1), GLOBALS),
        "in place of the weights": (
            pickled("model-00001-of-00002.safetensors"), error("safetensors-malformed") | GLOBALS),
        "behind a harmless one": (
            pickled("weights.pt", lambda data: pickle.dumps({"a": 1}) + data), GLOBALS),
        "in a string of another": (pickled("weights.pt", pickle.dumps), GLOBALS),
        "in an array of objects": (
            lambda scene: scene.write("bias.npy", array(Runs(scene.command))), warning("pickle-globals")),
        "in an archive of arrays": (
            lambda scene: scene.write("bias.npz", zipped({"b.npy": array(Runs(scene.command))})),
            warning("executable-format", "pickle-globals")),
        "in gzip": (pickled("m.joblib", gzip.compress), warning("executable-format", "pickle-globals")),
        "in bzip2": (pickled("m.joblib", bz2.compress), warning("executable-format", "pickle-globals")),
        "in xz": (pickled("m.joblib", lzma.compress), warning("executable-format", "pickle-globals")),
        "in zlib": (pickled("m.joblib", zlib.compress), warning("executable-format", "pickle-globals")),
        "in a tar of NeMo": (
            pickled("model.nemo", lambda data: tarred({"model_weights.ckpt": data})),
            warning("executable-format", "pickle-globals")),
        "in a compressed tar of an archive": (
            pickled("all.tar.gz", lambda data: tarred({"m.pt": pytorch(data)}, "w:gz")),
            warning("executable-format", "pickle-globals")),
        "in an archive in an archive": (
            pickled("all.zip", lambda data: zipped({"inner.pt": pytorch(data)})), GLOBALS),
        "cut short": (pickled("weights.pt", lambda data: data[:-2]), GLOBALS | warning("pickle-unread")),
        "that names only what weights need": (
            added("weights.pt", b"\x80\x02ccollections\nOrderedDict\n)R."), warning("pickle-present")),
    }),
    *cases("archive", {
        "eight gigabytes in a zip archive": (bomb, warning("pickle-present", "pickle-unread")),
        "twelve archives in each other": (
            nested_archives, warning("executable-format", "pickle-globals", "pickle-unread")),
        "120,000 members": (many_members, warning("executable-format", "pickle-unread")),
        "GGUF": (added("model.gguf", GGUF), warning("executable-format")),
        "GGUF under another name": (added("notes.txt", GGUF), warning("executable-format")),
        "ONNX": (added("model.onnx", b"\x08\x07\x12\x07pytorch"), warning("executable-format")),
        "Keras with code": (keras, warning("executable-format", "keras-lambda")),
        "HDF5": (added("tf_model.h5", b"\x89HDF\r\n\x1a\n" + bytes(64)), warning("executable-format")),
        "TensorFlow": (added("saved_model.pb", b"\x08\x01\x12\x00"), warning("executable-format")),
        "TorchScript": (
            lambda scene: scene.write("m.pt", zipped({"m/data.pkl": b"\x80\x02}.", "m/constants.pkl": b"\x80\x02)."})),
            warning("executable-format", "pickle-present")),
        "a tar archive that leads outside": (
            added("data.tar", tarred({"../../../tmp/evil": b"x"})), warning("executable-format")),
        "7z": (added("weights.7z", UNREADABLE["7z"][1]), warning("executable-format", "pickle-unread")),
        "a zip archive without a directory": (
            added("weights.pt", UNREADABLE["zip, no directory"][1]), warning("pickle-present", "pickle-unread",
                                                                             "executable-format")),
    }),
    *cases("code", {
        "Python": (python("modeling_evil.py"), warning("code-present")),
        "Python in upper case": (python("SETUP.PY"), warning("code-present")),
        "Python that starts by itself": (python("sitecustomize.py"), warning("code-present")),
        "Python in the place of a module of the reader": (python("json.py"), warning("code-present")),
        "a line that Python runs at its start": (
            script("evil.pth", "import os; os.system('{}')\n"), GLOBALS | warning("pickle-unread")),
        "Python for Windows": (python("run.pyw"), warning("code-present")),
        "a notebook": (notebook, warning("code-present")),
        "a shell script": (script("install.sh", "#!/bin/sh\n{}\n"), warning("code-present", "executable-format")),
        "a script under another name": (
            script("weights.dat", "#!/bin/sh\n{}\n"), warning("code-disguised", "executable-format")),
        "a native library": (added("kernel.so", ELF), warning("code-present", "executable-format")),
        "a native library with a version": (
            added("libkernel.so.1", ELF), warning("code-disguised", "executable-format")),
        "a native library under another name": (
            added("model.dat", ELF), warning("code-disguised", "executable-format")),
        "a program for Windows under another name": (
            added("card.pdf", PE), warning("code-disguised", "executable-format")),
        "a kernel": (added("kernels/attention.cu", "__global__ void k() {}"), warning("code-present")),
        "a card that has Python make objects": (tagged_card, warning("card-malformed")),
        "a card that grows without end": (bomb_card, warning("card-malformed")),
    }),
]  # fmt: skip
