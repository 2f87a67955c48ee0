"""Findings from what one file holds, whatever its name promises."""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType

from mbom.inventory import harmless
from mbom.inventory.executables import Contents
from mbom.inventory.findings import finding, listed
from mbom.inventory.naming import tensor_name_findings
from mbom.inventory.reading import Reading
from mbom.inventory.record import Finding
from mbom.inventory.roles import CHAT_TEMPLATE, CODE, CONFIG, INDEX, OTHER, TOKENIZER, WEIGHTS, role
from mbom.inventory.weights import is_pickle_name
from mbom.tensorfile import Header

# Formats beside pickles whose readers can be made to run something, or that hide what they hold, and how.
EXECUTABLE = MappingProxyType({
    "7z": "an archive",
    "bzip2": "compressed",
    "coreml": "a program of operators, custom ones among them",
    "elf": "a native program or library",
    "ggml": "read by native code",
    "gguf": "read by native code, and it may hold a chat template of its own",
    "gzip": "compressed",
    "hdf5": "Keras keeps layers of Python code in it",
    "keras": "it may hold layers of Python code",
    "lz4": "compressed",
    "lzma": "compressed",
    "mach-o": "a native program or library",
    "nemo": "an archive with a configuration that names classes to build",
    "onnx": "a graph that may name custom operators and files beside it",
    "pe": "a native program or library",
    "rar": "an archive",
    "script": "a script",
    "tar": "an archive",
    "tensorflow": "a graph of operators that may read and write files",
    "tflite": "a graph that may name custom operators",
    "torchscript": "a program that loading it compiles",
    "wasm": "a program",
    "xz": "compressed",
    "zip": "an archive",
    "zlib": "compressed",
    "zstd": "compressed",
})  # fmt: skip

POINTER_LIMIT = 1024  # bytes; the specification of large file storage demands less
METADATA_LIMIT = 64 << 10  # bytes; honest headers carry {"format": "pt"} and little more

_POINTER = b"version https://git-lfs.github.com/spec/"
_PAGES = (b"<!doctype html", b"<html", b"<?xml")  # the last is how object stores answer
# A web page is never an honest one of these.
_DATA_ROLES = frozenset({WEIGHTS, INDEX, CONFIG, TOKENIZER, CHAT_TEMPLATE})
# Formats of programs that the system itself runs, whatever their names say.
_PROGRAMS = frozenset({"elf", "mach-o", "pe", "script", "wasm"})
_ARCHIVE = b"PK\x03\x04"
_PICKLES = frozenset({"pickle", "pytorch", "torchscript"})
_PICKLE_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


def content_findings(reading: Reading) -> Iterator[Finding]:
    """Yield what is wrong with the content of a file, the most telling reason only."""
    name, kind = reading.name, role(reading.name)
    if reading.size < POINTER_LIMIT and reading.head.startswith(_POINTER):
        yield finding("lfs-pointer", name, "only the pointer was cloned: run `git lfs pull`, or fetch it from the hub")
    elif kind in _DATA_ROLES and reading.head.lstrip().lower().startswith(_PAGES):
        yield finding("html-page", name, "fetch the file again; a login or error page was saved under its name")
    elif reading.malformed is not None:
        yield finding("safetensors-malformed", name, reading.malformed)
    elif reading.size == 0 and kind not in (CODE, OTHER):
        yield finding("empty-file", name, "0 bytes")
    if reading.disagreement is not None:
        yield finding("safetensors-disagrees", name, reading.disagreement)
    if reading.header is not None:
        yield from _header_findings(reading, reading.header)
    if reading.header is None and _is_pickle(name, reading):
        yield finding("pickle-present", name, "it is called otherwise, and begins like a pickle or an archive of one")
    yield from _disguises(reading)


def _disguises(reading: Reading) -> Iterator[Finding]:
    """Report a file that is more than its name says: a program, or the same as another file elsewhere."""
    name = reading.name
    if reading.links > 1:
        detail = f"its file has {reading.links} names: attest a copy, so that nothing else can write to it"
        yield finding("hard-link", name, detail)
    if reading.contents.format in _PROGRAMS and role(name) != CODE:
        detail = f"{reading.contents.format}: {EXECUTABLE[reading.contents.format]}, under a name that does not say so"
        yield finding("code-disguised", name, detail)


def _header_findings(reading: Reading, header: Header) -> Iterator[Finding]:
    """Report what is odd about a sound header, and tensors that hold something else than numbers."""
    if header.oddities:
        yield finding("safetensors-unusual", reading.name, "; ".join(header.oddities))
    size = sum(len(key) + len(text) for key, text in header.metadata.items())
    if size > METADATA_LIMIT:
        detail = f"{size} characters of metadata, {METADATA_LIMIT} are usual"
        yield finding("safetensors-metadata", reading.name, detail)
    found = [
        f"{tensor.name} ({count.nan} NaN, {count.infinite} infinite)"
        for tensor, count in zip(header.tensors, reading.not_finite, strict=True)
        if count
    ]
    if found:
        detail = f"{len(found)} of {len(header.tensors)} tensors: {listed(found)}"
        yield finding("tensor-not-finite", reading.name, detail)
    yield from tensor_name_findings((tensor.name for tensor in header.tensors), reading.name)


def _is_pickle(name: str, reading: Reading) -> bool:
    """Tell whether a file that is not called a pickle is one; ``.bin`` archives are what ``torch.save`` writes."""
    if is_pickle_name(name):
        return False  # reported by name, with its neighbours
    archive = reading.head.startswith(_ARCHIVE) and PurePosixPath(name.lower()).suffix == ".bin"
    return archive or reading.contents.format in _PICKLES or reading.head.startswith(_PICKLE_PROTOCOLS)


def executable_findings(contents: Mapping[str, Contents]) -> Iterator[Finding]:
    """Yield what files could make their readers run, one finding for all files of a folder of which the same holds."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for name, content in sorted(contents.items()):
        for kind, detail in _executable(content):
            found.setdefault((str(PurePosixPath(name).parent), kind, detail), []).append(name)
    for (_, kind, detail), names in found.items():
        yield finding(
            kind, names[0], detail if len(names) == 1 else f"{detail}; so {len(names)} files: {listed(names)}"
        )


def _executable(content: Contents) -> Iterator[tuple[str, str]]:
    harmful = harmless.harmful(content.globals)
    if harmful:
        telling = sum(map(harmless.is_telling, harmful))
        first = f"{telling} that can run anything, " if telling else ""
        yield "pickle-globals", f"it names {len(harmful)} globals that weights do not need, {first}{listed(harmful)}"
    if content.unread:
        yield "pickle-unread", listed(content.unread)
    if content.layers:
        yield "keras-lambda", "a Lambda layer in it is Python code that loading the model runs"
    if content.format is not None and content.format in EXECUTABLE:
        yield "executable-format", f"{content.format}: {EXECUTABLE[content.format]}"
