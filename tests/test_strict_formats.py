"""Every format that mbom reads, against every way to write JSON that two readers take differently.

Each is refused with the name of the document, by an error of ours or by a finding; none is accepted, none ends in a
traceback. Where a signature is in front of a reader, the one who signs is the attacker.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from checkpoints import write_checkpoint
from hostilejson import ATTACKS, INFINITY, SPELLINGS, Attack

from fixtures import bundling
from mbom import bundle
from mbom.attestation import PREDICATE_TYPE
from mbom.behaviour.numbers import Numbers
from mbom.behaviour.record import JSON_LIMIT, Record
from mbom.bom.check import BOM_LIMIT
from mbom.bom.check import check as check_bom
from mbom.bom.format.reading import read_document
from mbom.errors import FormatError
from mbom.facts import survey
from mbom.inventory import Inventory
from mbom.inventory.record import DOCUMENT_LIMIT
from mbom.signing import KeyVerifier, LocalSigner, generate, oms, sigstorebundle, statement
from mbom.signing.statement import STATEMENT_LIMIT
from mbom.source import FolderSource
from mbom.strictjson import SIZE_LIMIT
from mbom.tensorfile import PREFIX, parse_header

MEMBERS = bundle.read(bundling.BUNDLES / "v3" / "tiny-gpt-oss.mbom")
SUBJECTS = [("model.safetensors", "0a" * 32)]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LocalSigner:
    path = tmp_path_factory.mktemp("key") / "release.pem"
    generate(path)
    return LocalSigner.load(path)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with every configuration that somebody reads."""
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "model")
    for name, content in (
        ("tokenizer_config.json", b'{"tokenizer_class": "X"}'),
        ("special_tokens_map.json", b'{"bos_token": "<s>"}'),
        ("tokenizer.json", b'{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}}'),
        ("chat_template.json", b'{"chat_template": "{{ messages }}"}'),
        ("adapter_config.json", b'{"base_model_name_or_path": "org/base"}'),
        ("preprocessor_config.json", b'{"size": 224}'),
        ("added_tokens.json", b'{"<x>": 1}'),
        ("vocab.json", b'{"a": 0}'),
        ("hf_quant_config.json", b'{"quantization": {}}'),
    ):
        (folder / name).write_bytes(content)
    return folder


# ---- documents of a bundle: name -> honest bytes, what reads them, and their limit ----


def header_of(data: bytes) -> bytes:
    return data[PREFIX : PREFIX + int.from_bytes(data[:PREFIX], "little")].rstrip(b" ")


def with_header(data: bytes, header: bytes) -> bytes:
    rest = data[PREFIX + int.from_bytes(data[:PREFIX], "little") :]
    return len(header).to_bytes(PREFIX, "little") + header + rest


def read_bom(data: bytes) -> None:
    problems = check_bom(data, Inventory.from_bytes(MEMBERS[bundle.INVENTORY]))
    if problems:
        raise FormatError(problems[0])


def a_statement(signer: LocalSigner) -> bytes:
    return signer.sign_statement(statement.build(SUBJECTS, PREDICATE_TYPE, {"a": 1}))


NUMBERS = MEMBERS[bundle.BEHAVIOUR_NUMBERS]
Reader = tuple[bytes, Callable[[bytes], object], str]


def readers(signer: LocalSigner) -> dict[str, Reader]:
    """Return of each document an honest one, what reads it, and how messages name it."""
    verifier = KeyVerifier(signer.public_key)
    model_sig = oms.build("model", SUBJECTS)
    return {
        "inventory.json": (MEMBERS[bundle.INVENTORY], Inventory.from_bytes, "inventory.json"),
        "behaviour.json": (MEMBERS[bundle.BEHAVIOUR], lambda data: Record.from_bytes(data, NUMBERS), "behaviour.json"),
        "behaviour.safetensors": (
            header_of(NUMBERS),
            lambda header: Numbers.from_bytes(with_header(NUMBERS, header), what="behaviour.safetensors"),
            "behaviour.safetensors",
        ),
        "a shard's header": (
            b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
            lambda header: parse_header(with_header(bytes(8), header), PREFIX + len(header), "x.safetensors"),
            "x.safetensors",
        ),
        "bom.cdx.json": (MEMBERS[bundle.BOM], read_bom, "the BOM"),
        "a signed bundle": (
            a_statement(signer),
            lambda data: verifier.verify_statement(data, predicate_type=PREDICATE_TYPE, what=bundle.ATTESTATION),
            bundle.ATTESTATION,
        ),
        "a signed statement": (
            statement.build(SUBJECTS, PREDICATE_TYPE, {"a": 1}),
            lambda data: verifier.verify_statement(
                signer.sign_statement(data), predicate_type=PREDICATE_TYPE, what=bundle.ATTESTATION
            ),
            f"{bundle.ATTESTATION}: statement",
        ),
        "model.sig": (
            model_sig,
            lambda data: verifier.verify_oms(signer.sign_statement(data)),
            "model.sig: statement",
        ),
        "a shard's signature": (
            signer.sign_digest("0a" * 32),
            lambda data: verifier.verify_digest(data, "0a" * 32, what="shards/x.sigstore.json"),
            "shards/x.sigstore.json",
        ),
    }  # fmt: skip


DOCUMENTS = (
    "inventory.json", "behaviour.json", "behaviour.safetensors", "a shard's header", "bom.cdx.json", "a signed bundle",
    "a signed statement", "model.sig", "a shard's signature",
)  # fmt: skip


def test_the_honest_documents_are_read(signer: LocalSigner) -> None:
    found = readers(signer)
    assert tuple(found) == DOCUMENTS
    for data, read, _ in found.values():
        read(data)


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("attack", ATTACKS | INFINITY)
def test_a_document_of_a_bundle_is_read_in_one_way_or_not_at_all(
    signer: LocalSigner, document: str, attack: str
) -> None:
    honest, read, name = readers(signer)[document]
    bend, reason = (ATTACKS | INFINITY)[attack]
    with pytest.raises(FormatError, match=reason) as refusal:
        read(bend(honest))
    assert str(refusal.value).startswith(name)


LIMITS: dict[str, tuple[int, Callable[[bytes], object]]] = {
    "inventory.json": (DOCUMENT_LIMIT, Inventory.from_bytes),
    "behaviour.json": (JSON_LIMIT, lambda data: Record.from_bytes(data, b"")),
    "bom.cdx.json": (BOM_LIMIT, read_bom),
    "a statement": (STATEMENT_LIMIT, lambda data: statement.parse(data, predicate_type="x", what="a statement")),
    "a signed bundle": (sigstorebundle.BUNDLE_LIMIT, lambda data: sigstorebundle.read(data, what="a bundle")),
}


@pytest.mark.parametrize("document", LIMITS)
def test_a_document_over_its_limit_is_refused_by_its_size_alone(document: str) -> None:
    limit, read = LIMITS[document]
    with pytest.raises(FormatError, match=f"{limit + 1} bytes of JSON, the limit is {limit}"):
        read(b" " * (limit + 1))


# ---- base64 inside signatures ----

FIELDS: dict[str, tuple[str, ...]] = {
    "a payload": ("dsseEnvelope", "payload"),
    "a signature": ("dsseEnvelope", "signatures", "0", "sig"),
    "a file's digest": ("messageSignature", "messageDigest", "digest"),
    "a file's signature": ("messageSignature", "signature"),
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_bytes_have_one_spelling_in_base64(signer: LocalSigner, field: str, spelling: str) -> None:
    *way, last = FIELDS[field]
    # Signatures differ in length, and one that fills its last group has no padding to play with.
    while True:
        data = signer.sign_digest("0a" * 32) if way[0] == "messageSignature" else a_statement(signer)
        document = json.loads(data)
        place: Any = document
        for name in way:
            place = place[int(name)] if name.isdigit() else place[name]
        if place[last].endswith("="):
            break
        if field == "a payload":  # which is always the same
            place[last] = "e30="
            break
    place[last] = SPELLINGS[spelling](place[last])
    with pytest.raises(FormatError, match="base64") as refusal:
        sigstorebundle.read(json.dumps(document).encode(), what="x.sigstore.json")
    assert str(refusal.value).startswith("x.sigstore.json: ")


# ---- files of a checkpoint: name -> the finding ----

FILES: dict[str, str] = {
    "config.json": "config-malformed",
    "generation_config.json": "config-malformed",
    "adapter_config.json": "config-malformed",
    "preprocessor_config.json": "config-malformed",
    "hf_quant_config.json": "config-malformed",
    "chat_template.json": "config-malformed",
    "tokenizer_config.json": "config-malformed",
    "tokenizer.json": "tokenizer-malformed",
    "special_tokens_map.json": "tokenizer-malformed",
    "added_tokens.json": "tokenizer-malformed",
    "vocab.json": "tokenizer-malformed",
    "model.safetensors.index.json": "index-malformed",
    "model-00000-of-00002.safetensors": "safetensors-malformed",
}


def bend_header(bend: Attack) -> Attack:
    return lambda data: with_header(data, bend(header_of(data)))


def bent(folder: Path, name: str, bend: Attack) -> tuple[str, ...]:
    """Return what the findings say of a file after an attack on it, by the id that belongs to it; then mend it."""
    path = folder / name
    honest = path.read_bytes()
    try:
        path.write_bytes((bend_header(bend) if name.endswith(".safetensors") else bend)(honest))
        findings = survey(FolderSource(folder)).inventory.findings
    finally:
        path.write_bytes(honest)
    return tuple(item.detail for item in findings if (item.id, item.path) == (FILES[name], name))


def test_the_honest_checkpoint_gives_none_of_these_findings(checkpoint: Path) -> None:
    findings = survey(FolderSource(checkpoint)).inventory.findings
    assert not [item for item in findings if item.id.endswith("-malformed")]


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_a_checkpoint_is_read_in_one_way_or_reported(checkpoint: Path, name: str) -> None:
    table = ATTACKS | (INFINITY if name.endswith((".safetensors", ".index.json")) else {})
    for attack, (bend, reason) in table.items():
        details = bent(checkpoint, name, bend)
        assert len(details) == 1, attack
        assert re.search(reason, details[0]), (attack, details[0])


def test_infinity_is_a_number_in_configurations_alone(checkpoint: Path) -> None:
    for name in FILES:
        if not name.endswith((".safetensors", ".index.json")):
            assert not bent(checkpoint, name, INFINITY["infinity"][0]), name


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors.index.json"]
)
def test_a_file_that_is_too_large_to_be_read_is_no_file_without_a_finding(checkpoint: Path, name: str) -> None:
    details = bent(checkpoint, name, lambda data: data + b" " * SIZE_LIMIT)
    assert len(details) == 1
    assert "larger than" in details[0]


def test_configurations_in_folders_below_may_belong_to_anything(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "model")
    (tmp_path / "model" / "original").mkdir()
    (tmp_path / "model" / "original" / "config.json").write_bytes(b"{NaN}")
    findings = survey(FolderSource(tmp_path / "model")).inventory.findings
    found = [(item.id, item.severity) for item in findings if item.path.startswith("original/")]
    assert found == [("config-unread", "warning")]


# ---- a BOM that somebody names on the command line ----


@pytest.mark.parametrize("attack", ATTACKS | INFINITY)
def test_a_bom_of_anybody_s_is_read_in_one_way_or_not_at_all(tmp_path: Path, attack: str) -> None:
    bend, reason = (ATTACKS | INFINITY)[attack]
    path = tmp_path / "a.cdx.json"
    path.write_bytes(bend(MEMBERS[bundle.BOM]))
    with pytest.raises(FormatError, match=reason) as refusal:
        read_document(path)
    assert str(refusal.value).startswith(str(path))
