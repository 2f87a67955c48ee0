"""Files that would run something in whoever loads them, each with the global that does it; none is ever loaded."""

import bz2
import gzip
import io
import lzma
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

CALL = b"cos\nsystem\n(S'id'\ntR."  # protocol 0: os.system('id')


class Runs:
    """Whatever pickles this says that ``os.system`` is to be called."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        import os

        return os.system, ("id",)


def short(text: str) -> bytes:
    """Return SHORT_BINUNICODE of a text."""
    data = text.encode()
    return b"\x8c" + bytes([len(data)]) + data


def gzipped(data: bytes) -> bytes:
    """Return compressed data without the time, so that a test has one name in every process."""
    return gzip.compress(data, mtime=0)


def zipped(
    members: dict[str, bytes], *, method: int = zipfile.ZIP_STORED, change: Callable[[bytes], bytes] | None = None
) -> bytes:
    """Return a zip archive, changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return change(buffer.getvalue()) if change else buffer.getvalue()


def tarred(members: dict[str, bytes], mode: Any = "w") -> bytes:
    """Return a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def array(value: Any) -> bytes:
    """Return an .npy file of one object."""
    buffer = io.BytesIO()
    held = np.empty(1, dtype=object)
    held[0] = value
    np.save(buffer, held, allow_pickle=True)
    return buffer.getvalue()


def at_central(offset: int, value: bytes) -> Callable[[bytes], bytes]:
    """Return a change of the first entry of a zip's directory."""

    def change(data: bytes) -> bytes:
        at = data.index(b"PK\x01\x02") + offset
        return data[:at] + value + data[at + len(value) :]

    return change


PKL = {"archive/data.pkl": CALL, "archive/version": b"3\n"}
FOUR = b"\x80\x04"
ARGUMENT = short("id") + b"\x85R."

# name: (file, bytes, what must be reported)
HOSTILE: dict[str, tuple[str, bytes, str]] = {
    **{f"protocol {n}": ("x.pkl", pickle.dumps(Runs(), n), "posix.system") for n in range(6)},
    "GLOBAL, no protocol": ("x.pkl", CALL, "os.system"),
    "INST": ("x.pkl", b"(S'id'\nios\nsystem\n.", "os.system"),
    "OBJ": ("x.pkl", b"(cos\nsystem\nS'id'\no.", "os.system"),
    "NEWOBJ": ("x.pkl", b"\x80\x02cos\nsystem\nS'id'\n\x85\x81.", "os.system"),
    "NEWOBJ_EX": ("x.pkl", FOUR + b"cos\nsystem\n" + short("id") + b"\x85}\x92.", "os.system"),
    "BUILD with a state": ("x.pkl", b"\x80\x02cother\nThing\n)\x81}b.", "other.Thing"),
    "STACK_GLOBAL": ("x.pkl", FOUR + short("os") + short("system") + b"\x93" + ARGUMENT, "os.system"),
    "STACK_GLOBAL of BINUNICODE": (
        "x.pkl", FOUR + b"X\x02\0\0\0osX\x06\0\0\0system\x93" + ARGUMENT, "os.system"),
    "STACK_GLOBAL of BINUNICODE8": (
        "x.pkl", FOUR + b"\x8d\x02" + b"\0" * 7 + b"os" + short("system") + b"\x93" + ARGUMENT, "os.system"),
    "STACK_GLOBAL of escapes": ("x.pkl", FOUR + b"V\\u006fs\nVs\\u0079stem\n\x93" + ARGUMENT, "os.system"),
    "STACK_GLOBAL of old strings": ("x.pkl", FOUR + b"U\x02osS'sy\\x73tem'\n\x93" + ARGUMENT, "os.system"),
    "STACK_GLOBAL from the memo": (
        "x.pkl", FOUR + short("system") + b"\x94" + short("os") + b"\x940" + b"0h\x01h\x00\x93" + ARGUMENT,
        "os.system"),
    "memo by PUT and GET": ("x.pkl", FOUR + b"Vos\np7\n0Vsystem\np8\n0g7\ng8\n\x93" + ARGUMENT, "os.system"),
    "memo by LONG_BINPUT": (
        "x.pkl", FOUR + b"Vos\nr\0\0\1\0" + b"0Vsystem\nr\1\0\1\0" + b"0j\0\0\1\0j\1\0\1\0\x93" + ARGUMENT,
        "os.system"),
    "memo overwritten": (
        "x.pkl", FOUR + b"Vjson\nq\x000Vos\nq\x000Vsystem\nq\x010h\0h\1\x93" + ARGUMENT, "os.system"),
    "memo numbered past a gap": (
        "x.pkl", FOUR + b"Vos\nq\x05" + b"0Vsystem\n\x94" + b"0h\x05h\x01\x93" + ARGUMENT, "os.system"),
    "names by DUP": ("x.pkl", FOUR + short("os") + b"2\x93" + ARGUMENT, "os.os"),
    "names under POPs and marks": (
        "x.pkl", FOUR + short("os") + b"(" + short("x") + b"1" + short("system") + b"(0\x93" + ARGUMENT, "os.system"),
    "names that are computed": (
        "x.pkl", FOUR + b"cbuiltins\nstr\n" + short("os") + b"\x85R" + short("system") + b"\x93" + ARGUMENT,
        "?.system"),
    "a dotted name": ("x.pkl", FOUR + short("collections") + short("OrderedDict.__init__.__globals__") + b"\x93.",
                      "collections.OrderedDict.__init__.__globals__"),
    "builtins.eval": ("x.pkl", b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
    "builtins.getattr": ("x.pkl", b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr"),
    "an extension": ("x.pkl", b"\x80\x02\x82\x05.", "copyreg.extension 5"),
    "a wide extension": ("x.pkl", b"\x80\x02\x84\x05\0\1\0.", "copyreg.extension 65541"),
    "a module that nobody knows": ("x.pkl", b"cmy-module\nrun\n)R.", "my-module.run"),
    "torch.load inside": ("x.pkl", b"\x80\x02ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes"),
    "no STOP": ("x.pkl", CALL[:-1], "os.system"),
    "broken after the call": ("x.pkl", CALL[:-1] + b"\xff\xff", "os.system"),
    "an argument that claims too much": ("x.pkl", CALL[:-1] + b"T\xff\xff\xff\x7fx", "os.system"),
    "an integer that no reader takes": ("x.pkl", b"Iabc\n0" + CALL, "os.system"),
    "hexadecimal, which one reader takes": ("x.pkl", b"I0x10\n0" + CALL, "os.system"),
    "a protocol that is none": ("x.pkl", b"\x80\xff" + CALL, "os.system"),
    "a frame that lies": ("x.pkl", FOUR + b"\x95\x01" + b"\0" * 7 + CALL, "os.system"),
    "a frame that ends amid a name": (
        "x.pkl", FOUR + b"\x95\x04" + b"\0" * 7 + b"cnumos\nsystem\n(S'id'\ntR.", "?"),
    "a frame that ends amid a string": (
        "x.pkl", FOUR + b"\x95\x03" + b"\0" * 7 + b"\x8c\x02nos\x8c\x06system\x93" + ARGUMENT, "?"),
    "a frame in a frame": (
        "x.pkl", FOUR + b"\x95\x0b" + b"\0" * 7 + b"\x95\x20" + b"\0" * 7 + b"NN" + CALL + bytes(9), "?"),
    "two protocols": ("x.pkl", b"\x80\x02" * 9 + CALL, "os.system"),
    "a name behind a megabyte": (
        "x.pkl", b"\x80\x03B" + struct.pack("<I", 3 << 20) + b"\0" * (3 << 20) + b"0" + CALL, "os.system"),
    "after a harmless pickle": ("x.pkl", pickle.dumps([1, 2]) + pickle.dumps(Runs()), "posix.system"),
    "after four, as torch wrote them": ("model.bin", b"".join(
        pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}, OrderedDict())
    ) + pickle.dumps(Runs(), 2) + b"\0\1\2\3" * 64, "posix.system"),
    "a pickle in a pickle": ("x.pkl", pickle.dumps(pickle.dumps(Runs(), 2)), "posix.system"),
    "a compressed one in a pickle": ("x.pkl", pickle.dumps(gzipped(pickle.dumps(Runs(), 2))), "posix.system"),
    "called .bin": ("pytorch_model.bin", pickle.dumps(Runs(), 2), "posix.system"),
    "called .safetensors": ("extra.safetensors", pickle.dumps(Runs(), 4), "posix.system"),
    "called .json, protocol 0": ("config_more.json", CALL, "os.system"),
    "called like nothing": ("vocab", pickle.dumps(Runs(), 1), "posix.system"),
    "called .h5": ("model.h5", pickle.dumps(Runs(), 4), "posix.system"),
    "PyTorch archive": ("pytorch_model.bin", zipped(PKL), "os.system"),
    "archive, deflated": ("pytorch_model.bin", zipped(PKL, method=zipfile.ZIP_DEFLATED), "os.system"),
    "archive, another member": ("m.pt", zipped({"a/data.pkl": pickle.dumps(1), "a/hooks": CALL}), "os.system"),
    "archive, check sum wrong": ("m.pt", zipped(PKL, change=at_central(16, b"\1\2\3\4")), "os.system"),
    "archive, said to be encrypted": ("m.pt", zipped(PKL, change=at_central(8, b"\1\0")), "os.system"),
    "archive, another name in the directory": ("m.pt", zipped(PKL, change=at_central(46, b"archivf")), "os.system"),
    "archive, said to be stored": (
        "m.pt", zipped(PKL, method=zipfile.ZIP_DEFLATED, change=at_central(10, b"\0\0")), "os.system"),
    "archive, sizes of zero": ("m.pt", zipped(PKL, method=zipfile.ZIP_DEFLATED, change=at_central(20, b"\0" * 8)),
                               "os.system"),
    "archive behind something": ("m.pt", b"PK\x03\x04" + b"\0" * 96 + zipped(PKL), "os.system"),
    "archive with a comment": ("m.pt", zipped(PKL)[:-2] + b"\x04\0PK\x05\x06", "os.system"),
    "archive, other disk": ("m.pt", zipped(PKL, change=at_central(34, b"\5\0")), "os.system"),
    "archive, two of a name": ("m.pt", zipped({"a/data.pkl": pickle.dumps(1), "b/data.pkl": CALL},
                               change=lambda data: data.replace(b"b/data.pkl", b"a/data.pkl")), "os.system"),
    "archive in an archive": ("m.zip", zipped({"inner.pt": zipped(PKL)}), "os.system"),
    "array of objects": ("a.npy", array(Runs()), "posix.system"),
    "arrays of objects": ("a.npz", zipped({"a.npy": array(Runs())}, method=zipfile.ZIP_DEFLATED), "posix.system"),
    "an array called otherwise": ("vocab.txt", array(Runs()), "posix.system"),
    "gzip": ("m.joblib", gzipped(CALL), "os.system"),
    "bzip2": ("m.joblib", bz2.compress(CALL), "os.system"),
    "xz": ("m.joblib", lzma.compress(CALL), "os.system"),
    "lzma": ("m.joblib", lzma.compress(CALL, format=lzma.FORMAT_ALONE), "os.system"),
    "zlib": ("m.joblib", zlib.compress(CALL), "os.system"),
    "tar": ("m.nemo", tarred({"model_config.yaml": b"a: 1\n", "model_weights.ckpt": zipped(PKL)}), "os.system"),
    "tar, compressed": ("m.nemo", tarred({"model_weights.ckpt": CALL}, "w:gz"), "os.system"),
    "tar of old torch": ("m.pt", tarred({"sys_info": pickle.dumps({}), "pickle": CALL}), "os.system"),
}  # fmt: skip

# What cannot be looked into, and must be said: file, bytes, a part of the sentence.
UNREADABLE: dict[str, tuple[str, bytes, str]] = {
    "7z": ("m.7z", b"7z\xbc\xaf\x27\x1c" + bytes(64), "packed as 7z"),
    "7z called a checkpoint": ("m.ckpt", b"7z\xbc\xaf\x27\x1c" + bytes(64), "packed as 7z"),
    "lz4": ("m.joblib", b"\x04\x22\x4d\x18" + bytes(64), "packed as lz4"),
    "zip, no directory": ("m.pt", b"PK\x03\x04" + bytes(64), "without a directory"),
    "zip, a method of its own": ("m.pt", zipped(PKL, change=at_central(10, b"\x63\0")), "packed by method 99"),
    "zip, a member elsewhere": ("m.pt", zipped(PKL, change=at_central(42, b"\1\0\0\0")), "that are not there"),
    "deflated otherwise": ("m.pt", zipped(PKL, change=at_central(10, b"\x08\0")), "not the deflated member"),
    "gzip, cut": ("m.joblib", gzipped(bytes(range(256)) * 64)[:-9], "there is more"),
    "gzip, two streams": ("m.joblib", gzipped(pickle.dumps(1)) + gzipped(CALL), "there is more"),
    "broken at once": ("m.pkl", b"\xff\xff", "byte 0 is no opcode"),
    "tar, no header": ("m.tar", tarred({"a": b"x"})[:1024] + b"nothing of the kind", "without a header"),
    "an array of joblib": (
        "m.joblib", b"\x80\x04cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}b" + b"\xff" * 64, "byte "),
}  # fmt: skip
