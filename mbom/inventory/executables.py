"""What a file would make its reader run, whatever it is called: its format by its first bytes, and pickles inside.

Nothing is unpacked to disk, loaded or run. Archives are looked into as far as a loader would find a pickle there: zip
(PyTorch, Keras, NumPy), tar (NeMo, old PyTorch) and compressed streams (joblib), each within limits. What could not be
looked into is said.
"""

import re
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mbom import strictjson
from mbom.errors import FormatError
from mbom.inventory.archives import COMPRESSED, DEFLATED, STORED, ZipMember, tar_members, unpack, zip_members
from mbom.inventory.pickles import Budget, follow, nested, streams
from mbom.inventory.views import BytesView, View

MEMBERS_LIMIT = 100_000  # of all archives in a file; a checkpoint's has two for each tensor
UNPACKED_LIMIT = 32 << 20  # bytes decompressed of one file, all members together
DEPTH_LIMIT = 4  # archives and pickles inside each other: a compressed tar of a zip of a pickle has four
UNREAD_LIMIT = 16  # sentences about what could not be looked into
CONFIG_LIMIT = 16 << 20  # bytes of the description of a Keras model

_PEEK = 4096  # bytes by which a format is told
_PICKLE = re.compile(rb"\x80[\x00-\x05]")
_PICKLE_NAME = re.compile(r".*\.(pkl|pickle|pt|pth|ckpt|joblib|dill|cloudpickle)|pickle|storages|tensors")
_OBJECTS = re.compile(rb"\|O|'O[0-9]*'")  # arrays of objects, in the header of an .npy file
_LAYERS = frozenset({"Lambda", "TFOpLambda", "SlicingOpLambda"})  # of Keras, made of Python code
_LAMBDA = re.compile(rb'"class_name"\s*:\s*"(?:%s)"' % b"|".join(name.encode() for name in sorted(_LAYERS)))
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")

# By their first bytes: where these stand, what they are, and the format.
_MAGIC = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"\x93NUMPY", "numpy"),
    (0, b"GGUF", "gguf"),
    (0, b"tjgg", "ggml"),
    (0, b"lmgg", "ggml"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (4, b"TFL3", "tflite"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ\x00", "xz"),
    (0, b"\x5d\x00\x00", "lzma"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (257, b"ustar", "tar"),
    (0, b"\x7fELF", "elf"),
    (0, b"\xcf\xfa\xed\xfe", "mach-o"),
    (0, b"\xce\xfa\xed\xfe", "mach-o"),
    (0, b"\xca\xfe\xba\xbe", "mach-o"),  # for several machines; compiled Java begins so too
    (0, b"\0asm", "wasm"),
    (0, b"#!", "script"),
)
_BY_SUFFIX = {
    ".onnx": "onnx", ".keras": "keras", ".h5": "hdf5", ".hdf5": "hdf5", ".gguf": "gguf", ".tflite": "tflite",
    ".pb": "tensorflow", ".nemo": "nemo", ".mlmodel": "coreml", ".tar": "tar", ".zip": "zip", ".7z": "7z",
    ".rar": "rar", ".npz": "zip", ".whl": "zip", ".jar": "zip", ".exe": "pe", ".dll": "pe", ".so": "elf",
    ".dylib": "mach-o", ".wasm": "wasm",
}  # fmt: skip
_ZIPPED = frozenset({"zip", "keras"})
_PACKED = frozenset({"lz4", "zstd", "7z", "rar"})  # read by some loaders, and not here


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a file is and names, as far as a reader could run it.

    Attributes:
        format: of the file as a whole, such as ``pickle``, ``pytorch``, ``gguf``, ``zip``; None for what no reader
            runs, or is none of these.
        globals: what pickles in it import, as ``module.name``, sorted.
        unread: sentences about what could not be looked into.
        layers: whether it holds a Keras layer of Python code.
    """

    format: str | None = None
    globals: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    layers: bool = False


def contents(view: View, name: str) -> Contents:
    """Look into a file.

    Raises:
        OSError: when the system cannot read it.
    """
    explorer = _Explorer()
    found = explorer.explore(view, name, "", 0)
    return Contents(
        format=found,
        globals=tuple(sorted(explorer.globals)),
        unread=tuple(explorer.unread),
        layers=explorer.layers,
    )


@dataclass
class _Explorer:
    """What was found in one file so far, and what may still be spent on it."""

    globals: set[str] = field(default_factory=set)
    unread: list[str] = field(default_factory=list)
    layers: bool = False
    budget: Budget = field(default_factory=Budget)
    members: int = MEMBERS_LIMIT
    unpacked: int = UNPACKED_LIMIT

    def explore(self, view: View, name: str, place: str, depth: int) -> str | None:
        """Look into a view and return its format.

        Args:
            view: the bytes of a file, of a member of an archive, or of a string in a pickle.
            name: of the file or member.
            place: where that is inside the file, for sentences; empty for the file itself.
            depth: how many archives and pickles are around it.
        """
        if depth > DEPTH_LIMIT:
            self._say(place, f"nested deeper than {DEPTH_LIMIT} levels")
            return None
        head = view.read(0, _PEEK)
        certain, claimed = _magic(head), _claimed(name)
        kind = certain or claimed
        if kind in _PACKED:
            self._say(place, f"packed as {kind}, which is not looked into")
        try:
            if kind in _ZIPPED:
                kind = self._zip(view, place, depth) or claimed or kind
            elif kind == "tar" or (kind == "nemo" and certain == "tar"):
                self._tar(view, place, depth)
                kind = claimed or kind
            elif certain in COMPRESSED:
                self._compressed(view, name, certain, place, depth)
            elif certain == "numpy":
                self._array(view, head, place, depth)
        except FormatError as error:
            if certain == "zlib":  # two bytes are no proof
                certain = kind = None
            else:
                self._say(place, str(error))
        return "pickle" if certain is None and self._pickles(view, 0, name, place, depth) else kind

    def _say(self, place: str, sentence: str) -> None:
        """Note what could not be looked into."""
        if len(self.unread) < UNREAD_LIMIT:
            self.unread.append(f"{place}: {sentence}" if place else sentence)

    def _pickles(self, view: View, start: int, name: str, place: str, depth: int) -> bool:
        """Follow the pickles at ``start``, and return whether there are any.

        What is called a pickle is one, and what begins like one, unless it breaks at once without a name. Anything
        else, protocols 0 and 1 among it, is one when it ends as one or calls something, and names something.
        """
        found = streams(view, start, self.budget)
        if not found:
            return False
        first, named = found[0], _PICKLE_NAME.fullmatch(PurePosixPath(name.lower()).name) is not None
        begins = _PICKLE.match(view.read(start, 2)) is not None
        short = first.fault is not None and not first.globals and first.end - start < 16
        if not (named or (begins and not short) or (first.is_plausible and first.globals)):
            return False
        for pickle in found:
            self.globals.update(pickle.globals)
            if pickle.fault is not None:
                self._say(place, f"the pickle cannot be followed to its end: {pickle.fault}")
            for part in nested(view, pickle):
                self.explore(part, "", f"{place}: a string in a pickle".removeprefix(": "), depth + 1)
        return True

    def _array(self, view: View, head: bytes, place: str, depth: int) -> None:
        """Look into a NumPy array: one of objects is a pickle behind a header."""
        wide = head[6:7] >= b"\x02"
        start = int.from_bytes(head[8 : 12 if wide else 10], "little") + (12 if wide else 10)
        if _OBJECTS.search(view.read(0, min(start, 1 << 20))) and not self._pickles(view, start, ".pkl", place, depth):
            self._say(place, "an array of objects without the pickle of them")

    def _compressed(self, view: View, name: str, kind: str, place: str, depth: int) -> None:
        data, whole = unpack(view, kind, self.unpacked)
        self.unpacked -= len(data)
        if not whole:
            self._say(place, f"{len(data)} bytes behind its compression were looked into, and there is more")
        inner = PurePosixPath(name)
        self.explore(BytesView(data), inner.stem if len(inner.suffixes) > 1 else name, place, depth + 1)

    def _tar(self, view: View, place: str, depth: int) -> None:
        for name, part in tar_members(view):
            self._count()
            self.explore(part, name, f"{place}: {name}".removeprefix(": "), depth + 1)

    def _zip(self, view: View, place: str, depth: int) -> str | None:
        """Look into a zip archive, and return what kind of one it is."""
        names: set[str] = set()
        for member in zip_members(view):
            self._count()
            names.add(member.name)
            self._member(member, f"{place}: {member.name}".removeprefix(": "), depth)
        return _archive(names)

    def _member(self, member: ZipMember, place: str, depth: int) -> None:
        view = member.data
        if member.method == DEFLATED:
            try:
                head, whole = unpack(view, "deflate", _PEEK)
                if not whole and self._is_worth(head, member.name):
                    head, whole = unpack(view, "deflate", self.unpacked)
                    self.unpacked -= len(head)
                    if not whole:
                        self._say(place, f"{len(head)} bytes of it were looked into, and there is more")
                elif not whole:
                    return
            except FormatError:
                self._say(place, "not the deflated member that the archive says")
                return
            view = BytesView(head)
        elif member.method != STORED:
            self._say(place, f"packed by method {member.method}, which is not looked into")
            return
        if PurePosixPath(member.name).name == "config.json":
            self._layers(view.read(0, CONFIG_LIMIT + 1), place)
        self.explore(view, member.name, place, depth + 1)

    def _layers(self, data: bytes, place: str) -> None:
        """Look for layers of code in the description of a Keras model, which may spell their names with escapes."""
        try:
            pending = [strictjson.loads(data, what="a configuration", limit=CONFIG_LIMIT, infinity=True)]
        except FormatError as error:
            self._say(place, str(error))
            self.layers = self.layers or _LAMBDA.search(data) is not None
            return
        while pending:
            item = pending.pop()
            if isinstance(item, list):
                pending.extend(item)
            elif isinstance(item, dict):
                self.layers = self.layers or item.get("class_name") in _LAYERS
                pending.extend(item.values())

    def _is_worth(self, head: bytes, name: str) -> bool:
        """Tell by its beginning whether a packed member is unpacked as a whole."""
        kind = _magic(head)
        if kind == "numpy":
            return _OBJECTS.search(head) is not None
        if kind is not None or _PICKLE_NAME.fullmatch(PurePosixPath(name.lower()).name) or name.endswith("config.json"):
            return True
        first = follow(BytesView(head), 0, self.budget)
        return first.end >= len(head) or bool(first.globals)

    def _count(self) -> None:
        """Count one more member.

        Raises:
            FormatError: when there are too many.
        """
        self.members -= 1
        if self.members < 0:
            raise FormatError(f"more than {MEMBERS_LIMIT} members")


def _magic(head: bytes) -> str | None:
    if head.startswith(_ZLIB):
        return "zlib"
    if head.startswith(b"MZ"):  # two letters are no proof; what they point to is
        at = int.from_bytes(head[60:64], "little")
        return "pe" if head[at : at + 4] == b"PE\0\0" else None
    return next((kind for start, magic, kind in _MAGIC if head.startswith(magic, start)), None)


def _claimed(name: str) -> str | None:
    return _BY_SUFFIX.get(PurePosixPath(name.lower()).suffix)


def _archive(names: set[str]) -> str | None:
    """Return what kind of zip archive has members of these names."""
    bases = {PurePosixPath(name).name for name in names}
    if "constants.pkl" in bases:
        return "torchscript"
    if "data.pkl" in bases:
        return "pytorch"
    return "keras" if {"config.json", "model.weights.h5"} <= names else None
