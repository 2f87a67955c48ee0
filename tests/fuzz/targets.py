"""What is fuzzed: the readers of hostile bytes, each held against another reader of the same format.

A target takes any bytes and raises nothing but what says that mbom is wrong. The engine is in ``run.py``; the default
run of the tests goes through the seeds and a few thousand mutations of them without it.
"""

import json
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pydantic_core
import sigstore.dsse
from jinja2 import meta, nodes
from safetensors import SafetensorError, deserialize
from sigstore_models.bundle.v1 import Bundle
from unpicklers import asked

from mbom import bundle, strictjson
from mbom.attestation import PREDICATE_TYPE, Attestation
from mbom.errors import FormatError, MbomError
from mbom.facts.jinja import parse
from mbom.facts.places import Place
from mbom.facts.templates import Source, read_templates
from mbom.inventory import Inventory
from mbom.inventory.executables import contents
from mbom.inventory.index import outside, read_index
from mbom.inventory.pickles import NAME_LIMIT, OPCODES_LIMIT, UNKNOWN, Budget, follow
from mbom.inventory.record import read_structure
from mbom.inventory.views import BytesView
from mbom.signing import sigstorebundle, statement
from mbom.tensorfile import PREFIX, Header, parse_header

_SHARED = Path("/dev/shm")  # noqa: S108 - in memory, so quicker than a disk; the folder in it has a name of its own
DATA_LIMIT = 1 << 16  # bytes of tensors that are made up, so that another reader can take the whole file
_ENDS = re.compile(rb'"data_offsets"\s*:\s*\[\s*\d{1,20}\s*,\s*(\d{1,20})')


def header(data: bytes) -> None:
    """Accepted by us and rejected by safetensors, or read otherwise, is a bug.

    The first byte chooses: the rest is a whole file, or a header for which data is made up, enough or a byte short.
    """
    if data[:1] > b"\xdf":
        file = data[1:]
        size = len(file)
    else:
        document = data[1:]
        payload = max((int(end) for end in _ENDS.findall(document)), default=0) - (data[:1] > b"\xcf")
        size = PREFIX + len(document) + max(payload, 0)
        file = len(document).to_bytes(PREFIX, "little") + document + bytes(max(0, min(payload, DATA_LIMIT)))
    try:
        found = parse_header(file, size, "x")
    except FormatError:
        return
    end = max((tensor.end for tensor in found.tensors), default=found.data_start)
    assert end == size, "tensors that do not reach the end of the file"
    if len(file) == size:
        _same_table(file, found)


def _same_table(file: bytes, found: Header) -> None:
    try:
        library = deserialize(file)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise AssertionError(f"accepted by us, and by safetensors not: {error}") from error
    theirs = {name: (view["dtype"], tuple(view["shape"]), bytes(view["data"])) for name, view in library}
    ours = {tensor.name: (tensor.dtype, tensor.shape, file[tensor.start : tensor.end]) for tensor in found.tensors}
    assert ours == theirs


def strict_json(data: bytes) -> None:
    """What we accept reads the same in Python's own parser and in a parser in Rust."""
    floats, infinity, document = data[:1] < b"\xc0", data[:1] < b"\x20", data[1:]
    try:
        value = strictjson.loads(document, what="x", floats=floats, infinity=infinity)
    except FormatError:
        return
    ours = repr(value)  # which tells 1 from 1.0 and True, 0.0 from -0.0, and one order of members from another
    assert ours == repr(json.loads(document))
    assert ours == repr(pydantic_core.from_json(document, allow_inf_nan=infinity))
    if not infinity:
        assert ours == repr(strictjson.loads(document, what="x", infinity=True)), "more is allowed, and read otherwise"
        _canonical(value)


def _canonical(value: strictjson.Json) -> None:
    assert strictjson.loads(strictjson.pretty(value), what="x") == value
    try:
        data = strictjson.canonical(value)
    except FormatError:
        return  # an integer that RFC 8785 cannot write
    again = _doubles(strictjson.loads(data, what="x"))
    assert again == _doubles(value)
    assert strictjson.canonical(again) == data


def _doubles(value: strictjson.Json) -> strictjson.Json:
    """Return ``value`` as RFC 8785 sees it, to which every number is a double: it writes 1e20 as an integer."""
    found: strictjson.Json = json.loads(json.dumps(value), parse_int=float)
    return found


def index(data: bytes) -> None:
    """The index places every tensor where Python's own reader sees it."""
    try:
        found = read_index(data)
    except FormatError:
        return
    assert found.weight_map == json.loads(data)["weight_map"]
    assert set(found.shards) == set(found.weight_map.values())
    for shard in set(found.shards) - set(outside(found)):
        assert not shard.startswith("/")
        assert ".." not in shard.split("/")


def inventory(data: bytes) -> None:
    """An inventory that is accepted is written as it was read; the digest that binds it is made right here."""
    try:
        found, _ = read_structure(data, "x")
        written = found.to_bytes()
        again = Inventory.from_bytes(written)
    except FormatError:
        return
    assert again == found
    ours, theirs = json.loads(written), json.loads(data)
    assert (ours["files"], ours["tensors"]) == (theirs["files"], theirs["tensors"])


def statements(data: bytes) -> None:
    """A statement that is accepted is one to sigstore too, and survives being written."""
    try:
        found = statement.parse(data, predicate_type=PREDICATE_TYPE, what="x")
    except FormatError:
        return
    sigstore.dsse.Statement(data)
    try:
        pairs = [(subject.name, subject.sha256) for subject in found.subjects]
        written = statement.build(pairs, PREDICATE_TYPE, found.predicate)
    except FormatError:
        return  # an integer that RFC 8785 cannot write
    again = statement.parse(written, predicate_type=PREDICATE_TYPE, what="x")
    assert again.subjects == found.subjects
    assert _doubles(again.predicate) == _doubles(found.predicate)
    try:
        claimed = Attestation.from_dict(found.predicate)
    except FormatError:
        return
    assert Attestation.from_dict(claimed.to_dict()) == claimed


def envelopes(data: bytes) -> None:
    """A bundle of Sigstore that is accepted is one to sigstore's model of it, and survives being written."""
    try:
        found = sigstorebundle.read(data, what="x")
    except MbomError:
        return
    # Protocol buffers take null, and what is not there, for nothing; the model takes neither.
    document = _stated(json.loads(data))
    material = _stated(document["verificationMaterial"])
    material["publicKey"] = {"hint": "", **_stated(material["publicKey"])}
    document["verificationMaterial"] = {"tlogEntries": [], **material}
    theirs = Bundle.from_json(json.dumps(document))
    if isinstance(found.content, sigstorebundle.MessageSignature):
        assert theirs.message_signature is not None
        assert theirs.dsse_envelope is None
    else:
        assert theirs.dsse_envelope is not None
        assert len(theirs.dsse_envelope.signatures) == 1
    written = sigstorebundle.write(found.content, hint=found.hint or "")
    assert sigstorebundle.read(written, what="x") == found


def _stated(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def folder(data: bytes) -> None:
    """A folder is read as a bundle with every member as it lies there, or not at all; links are never followed."""
    with tempfile.TemporaryDirectory(prefix="mbom-fuzz-", dir=_SHARED if _SHARED.is_dir() else None) as name:
        root = Path(name) / "x.mbom"
        root.mkdir()
        secret = Path(name) / "secret"
        secret.write_bytes(b"secret")
        written = _write(root, data, secret)
        try:
            members = bundle.read(root)
        except MbomError:
            return
    assert members == written
    assert all(member in bundle.MEMBERS or member.startswith(bundle.SHARD_FOLDER) for member in members)
    assert b"secret" not in members.values()


def _write(root: Path, data: bytes, secret: Path) -> dict[str, bytes]:
    """Write up to eight members: a byte for the name, one for the kind, one for the length, and what it holds."""
    names = [*bundle.MEMBERS, "shards/a.safetensors.sigstore.json", "shards/b/c.sigstore.json"]
    written: dict[str, bytes] = {}
    for _ in range(8):
        if len(data) < 3:
            break
        choice, kind, length = data[:3]
        held, data = data[3 : 3 + length], data[3 + length :]
        name = names[choice] if choice < len(names) else held.decode("utf-8", errors="surrogateescape")
        relative = PurePosixPath(name)
        if "\0" in name or ".." in relative.parts or relative.is_absolute():
            continue
        path = root / relative
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind > 0xF0:
                path.symlink_to(secret)
            else:
                path.write_bytes(held)
                written[str(relative)] = held
        except OSError:
            continue
    return written


def template(data: bytes) -> None:
    """What jinja2 itself finds in a template is among the findings; nothing of it runs."""
    text = data.decode("utf-8", errors="replace")
    source = Source(name="default", text=text, data=data, place=Place(file="chat_template.jinja"))
    (found,), findings = read_templates([source])
    assert found.findings == tuple(sorted({item.id for item in findings}))
    try:
        tree = parse("x", text)
    except FormatError:
        assert "template-malformed" in found.findings
        return
    assert "template-malformed" not in found.findings
    if any(True for _ in meta.find_referenced_templates(tree)):
        assert "template-import" in found.findings
    names = {node.name for node in tree.find_all(nodes.Name)}
    assert ("strftime_now" in names) <= ("template-clock" in found.findings)
    assert ("lipsum" in names) <= ("template-chance" in found.findings)


def pickled(data: bytes) -> None:
    """Whatever CPython would import of a stream is listed, or stands there as computed."""
    budget = Budget()
    found = follow(BytesView(data), 0, budget)
    assert 0 <= OPCODES_LIMIT - budget.opcodes <= len(data) + 1
    assert found.end <= len(data)
    if b"\x96" in data or b"\xe2" in data:
        return  # BYTEARRAY8 makes CPython allocate what it claims
    wanted, _ = asked(data)
    for name in wanted:
        shown = name if len(name) <= NAME_LIMIT else f"{name[:NAME_LIMIT]}…"
        listed = shown in found.globals or any(_may_be(other, name) for other in found.globals)
        assert listed, f"not listed: {name!r}"


def _may_be(listed: str, name: str) -> bool:
    """Tell whether a name that is computed in part, such as ``?.system``, or empty, stands for another."""
    if listed.startswith(f"{UNKNOWN}.") and listed.endswith("…"):
        return listed.removeprefix(UNKNOWN).removesuffix("…") in name
    if listed in (UNKNOWN, f"{UNKNOWN}.{UNKNOWN}"):
        return True
    if listed.startswith(f"{UNKNOWN}."):
        return name.endswith(listed.removeprefix(UNKNOWN))
    return listed.endswith(f".{UNKNOWN}") and name.startswith(listed.removesuffix(UNKNOWN))


def archive(data: bytes) -> None:
    """Any file is looked into without an exception, by the name that a loader goes by."""
    names = ("pytorch_model.bin", "a.npz", "a.nemo", "a.joblib", "a.keras", "x")
    found = contents(BytesView(data[1:]), names[(data[0] if data else 0) % len(names)])
    assert found.globals == tuple(sorted(set(found.globals)))


@dataclass(frozen=True, kw_only=True)
class Target:
    """A target.

    Attributes:
        run: takes any bytes.
        longest: the size of the largest input in bytes that says anything new.
        document: how many bytes stand before the JSON document of an input; None where it is no JSON.
    """

    run: Callable[[bytes], None]
    longest: int
    document: int | None = None


TARGETS: Mapping[str, Target] = {
    "header": Target(run=header, longest=1024, document=1),
    "json": Target(run=strict_json, longest=512, document=1),
    "index": Target(run=index, longest=1024, document=0),
    "inventory": Target(run=inventory, longest=8192, document=0),
    "statement": Target(run=statements, longest=4096, document=0),
    "envelope": Target(run=envelopes, longest=2048, document=0),
    "folder": Target(run=folder, longest=512),
    "template": Target(run=template, longest=2048),
    "pickle": Target(run=pickled, longest=512),
    "archive": Target(run=archive, longest=2048),
}
