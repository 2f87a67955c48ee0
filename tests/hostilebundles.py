"""Bundles that somebody bent, and the check of the verification that must refuse each.

Three kinds of attacker: one who holds no key and edits files (``FORGED``), one who may serve any honest bundle of the
same signer (``MISMATCHED``), and the signer himself, whose signatures are all good (``SIGNED``). Certificates and keys
have tables of their own.
"""

import base64
import json
import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attesting import CREATED, Scene, another_model, passing_off, statement_of
from checkpoints import FolderAsHub
from hostilejson import SPELLINGS
from zipcraft import LINK, Member, archive

from mbom import bundle
from mbom.attest import attest
from mbom.attestation import BOM_PREDICATE_TYPE
from mbom.inventory import Inventory
from mbom.signing import oms, statement
from mbom.source import Origin
from mbom.verify import Expectation

SHARDS = tuple(f"model-0000{number}-of-00003.safetensors" for number in range(3))
SHARD_MEMBER = bundle.shard_member(SHARDS[0])
Change = Callable[[Any], object]
Deed = Callable[[Scene], object]


@dataclass(frozen=True, kw_only=True)
class Attack:
    """What is done to a bundle, the check that refuses it, and words of its detail."""

    deed: Deed
    check: str
    says: str
    expected: Expectation | None = None


def attack(deed: Deed, check: str, says: str, *, expected: Expectation | None = None) -> Attack:
    return Attack(deed=deed, check=check, says=says, expected=expected)


# ---- by whoever holds no key: the envelope of the attestation ----


def edited(change: Change, member: str = bundle.ATTESTATION) -> Deed:
    """Change the JSON of a member."""

    def deed(scene: Scene) -> None:
        document = json.loads(scene.member(member).read_bytes())
        change(document)
        scene.member(member).write_text(json.dumps(document))

    return deed


def raw(change: Callable[[bytes], bytes], member: str = bundle.ATTESTATION) -> Deed:
    """Change the bytes of a member."""
    return lambda scene: scene.edit_member(member, change)


def envelope(**members: Any) -> Deed:
    return edited(lambda document: document["dsseEnvelope"].update(members))


def signature(change: Callable[[str], Any]) -> Deed:
    def bend(document: Any) -> None:
        entry = document["dsseEnvelope"]["signatures"][0]
        entry["sig"] = change(entry["sig"])

    return edited(bend)


def der(change: Callable[[bytes], bytes]) -> Deed:
    return signature(lambda text: base64.b64encode(change(base64.b64decode(text))).decode())


def spelled(spelling: str) -> Deed:
    """Spell the payload's bytes in another way, which changes nothing that is signed."""

    def bend(document: Any) -> None:
        # The payload may be a multiple of three bytes long; a statement with white space behind it is as good a one.
        text = document["dsseEnvelope"]["payload"]
        document["dsseEnvelope"]["payload"] = SPELLINGS[spelling](text if text.endswith("=") else text[:-4] + "e30=")

    return edited(bend)


def again(document: Any) -> None:
    document["dsseEnvelope"]["signatures"] *= 2


def junk_behind(document: Any) -> None:
    document["dsseEnvelope"]["signatures"].append({"sig": "MAYCAQECAQE=", "keyid": ""})


def junk_in_front(document: Any) -> None:
    document["dsseEnvelope"]["signatures"].insert(0, {"sig": "MAYCAQECAQE=", "keyid": ""})


def material(**members: Any) -> Deed:
    return edited(lambda document: document["verificationMaterial"].update(members))


def shard_as_attestation(scene: Scene) -> None:
    shutil.copy(scene.member(SHARD_MEMBER), scene.member(bundle.ATTESTATION))


def both_contents(scene: Scene) -> None:
    shard = json.loads(scene.member(SHARD_MEMBER).read_bytes())
    edited(lambda document: document.update(messageSignature=shard["messageSignature"]))(scene)


def payload_replaced(change: Change) -> Deed:
    """Change the signed statement and keep the signature."""

    def bend(document: Any) -> None:
        said = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
        change(said)
        document["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(said).encode()).decode()

    return edited(bend)


ENVELOPES: dict[str, Attack] = {
    "another payload type": attack(envelope(payloadType="application/json"), "signature", "payloadType"),
    "a payload type in another case": attack(
        envelope(payloadType="application/vnd.in-toto+JSON"), "signature", "payloadType"),
    "a payload type with a parameter": attack(
        envelope(payloadType="application/vnd.in-toto+json; charset=utf-8"), "signature", "payloadType"),
    "no payload type": attack(
        edited(lambda document: document["dsseEnvelope"].pop("payloadType")), "signature", "missing"),
    "the signature twice": attack(edited(again), "signature", "2 signatures"),
    "a second signature of nonsense": attack(edited(junk_behind), "signature", "2 signatures"),
    "a first signature of nonsense": attack(edited(junk_in_front), "signature", "2 signatures"),
    "no signature": attack(envelope(signatures=[]), "signature", "0 signatures"),
    "an empty signature": attack(signature(lambda _: ""), "signature", "not an ECDSA signature"),
    "a signature of zeros": attack(signature(lambda _: "MAYCAQACAQA="), "signature", "does not hold"),
    "a signature with a byte behind it": attack(der(lambda data: data + b"\0"), "signature", "not an ECDSA signature"),
    "a signature with a long length": attack(
        der(lambda data: b"\x30\x81" + data[1:]), "signature", "not an ECDSA signature"),
    "a signature in another order": attack(der(lambda data: data[::-1]), "signature", "not an ECDSA signature"),
    "a signature without padding": attack(
        signature(lambda text: text.rstrip("=")[:-2]), "signature", "base64|not an ECDSA"),
    "a payload with stray bits": attack(spelled("stray bits"), "signature", "canonical base64"),
    "a payload in lines": attack(spelled("lines of 64"), "signature", "base64"),
    "a payload without padding": attack(spelled("no padding"), "signature", "base64"),
    "a payload in the alphabet for URLs": attack(spelled("the alphabet for URLs"), "signature", "base64"),
    "an empty payload": attack(envelope(payload=""), "signature", "does not hold"),
    "a key named in the signature": attack(
        edited(lambda document: document["dsseEnvelope"]["signatures"][0].update(keyid="mine")), "signature", "keyid"),
    "a member beside the payload": attack(envelope(note="trust me"), "signature", "unknown member 'note'"),
    "a member beside the envelope": attack(
        edited(lambda document: document.update(note=1)), "signature", "unknown member 'note'"),
    "another version of the bundle": attack(
        edited(lambda document: document.update(mediaType="application/vnd.dev.sigstore.bundle+json;version=0.2")),
        "signature", "mediaType"),
    "no key material": attack(
        edited(lambda document: document.pop("verificationMaterial")), "signature", "missing"),
    "the hint of another key": attack(material(publicKey={"hint": "0a" * 32}), "signature", "another key"),
    "a key in place of a hint": attack(
        material(publicKey={"rawBytes": "AAAA", "keyDetails": "PKIX_ECDSA_P256_SHA_256"}),
        "signature", "signed with another key"),
    "a log entry that nobody checks": attack(material(tlogEntries=[{"logIndex": "1"}]), "signature", "log entries"),
    "two kinds of content": attack(both_contents, "signature", "exactly one of"),
    "no content": attack(edited(lambda document: document.pop("dsseEnvelope")), "signature", "exactly one of"),
    "the signature of a file": attack(shard_as_attestation, "signature", "signs a file's digest"),
    "a statement changed after signing": attack(
        payload_replaced(lambda said: said["predicate"].update(time="2030-01-01T00:00:00Z")),
        "signature", "does not hold"),
    "a subject taken out after signing": attack(
        payload_replaced(lambda said: said["subject"].pop()), "signature", "does not hold"),
    "a second payload": attack(
        raw(lambda data: data.replace(b'"payload":', b'"payload": "e30=", "payload":', 1)),
        "signature", "'payload' occurs twice"),
    "a second envelope": attack(
        raw(lambda data: data.replace(b'"dsseEnvelope":', b'"dsseEnvelope": {}, "dsseEnvelope":', 1)),
        "signature", "'dsseEnvelope' occurs twice"),
    "a byte order mark": attack(raw(lambda data: b"\xef\xbb\xbf" + data), "signature", "byte order mark"),
    "UTF-16": attack(raw(lambda data: data.decode().encode("utf-16")), "signature", "not UTF-8"),
    "two documents": attack(raw(lambda data: data * 2), "signature", "not JSON"),
    "brackets without end": attack(raw(lambda _: b"[" * 100_000), "signature", "nested deeper"),
    "a list of bundles": attack(raw(lambda data: b"[" + data + b"]"), "signature", "an array where an object"),
}  # fmt: skip


# ---- by whoever holds no key: the members ----


def replaced(name: str, make: Callable[[Path], object]) -> Deed:
    """Put something else in a member's place."""

    def deed(scene: Scene) -> None:
        scene.member(name).unlink()
        make(scene.member(name))

    return deed


def added(name: str, make: Callable[[Path], object] = Path.touch) -> Deed:
    def deed(scene: Scene) -> None:
        scene.member(name).parent.mkdir(parents=True, exist_ok=True)
        make(scene.member(name))

    return deed


def link_to_copy(path: Path) -> None:
    """Link to the very bytes that belong there, outside the bundle."""
    outside = path.parent.parent / "outside"
    outside.write_bytes(b"{}")
    path.symlink_to(outside)


def bind_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


def sparse(size: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.touch()
        os.truncate(path, size)

    return make


def shards_elsewhere(scene: Scene) -> None:
    scene.member("shards").rename(scene.root / "elsewhere")
    scene.member("shards").symlink_to(scene.root / "elsewhere")


def keep_only(*names: str) -> Deed:
    def deed(scene: Scene) -> None:
        for path in sorted(scene.bundle.rglob("*"), reverse=True):
            if path.is_dir():
                path.rmdir()
            elif path.name not in names:
                path.unlink()

    return deed


def without_record(scene: Scene) -> None:
    for name in (bundle.BEHAVIOUR, bundle.BEHAVIOUR_NUMBERS):
        scene.member(name).unlink()


def zipped(*extra: Member, tail: bytes = b"", **changes: Any) -> Deed:
    """Put the bundle in one file, honest but for what is added."""

    def deed(scene: Scene) -> None:
        members = [Member(name=name.encode(), data=data) for name, data in bundle.read(scene.bundle).items()]
        members[0] = replace(members[0], **changes)
        shutil.rmtree(scene.bundle)
        scene.bundle.write_bytes(archive([*members, *extra], tail=tail))

    return deed


def not_unicode(path: Path) -> None:
    (path.parent / os.fsdecode(b"\xff\x1b[2J.sigstore.json")).write_bytes(b"{}")


MEMBERS: dict[str, Attack] = {
    "nothing but the attestation": attack(keep_only(bundle.ATTESTATION), "bundle", "inventory.json is missing"),
    "no BOM": attack(keep_only(bundle.ATTESTATION, bundle.INVENTORY), "bundle", "bom.cdx.json is missing"),
    "no signatures of shards": attack(
        lambda scene: shutil.rmtree(scene.member("shards")), "evidence", "sigstore.json is missing"),
    "no numbers": attack(
        lambda scene: scene.member(bundle.BEHAVIOUR_NUMBERS).unlink(), "bundle", "belong together"),
    "no record at all": attack(without_record, "evidence", "behaviour.json is missing"),
    "an empty folder": attack(keep_only(), "bundle", "is empty"),
    "a member that is a link": attack(replaced(bundle.BEHAVIOUR, link_to_copy), "bundle", "link or a special file"),
    "a member that is a link to nothing": attack(
        replaced(bundle.BEHAVIOUR, lambda path: path.symlink_to("nothing")), "bundle", "link or a special file"),
    "a member that is a FIFO": attack(replaced(bundle.BEHAVIOUR, os.mkfifo), "bundle", "special file"),
    "a member that is a socket": attack(replaced(bundle.BEHAVIOUR, bind_socket), "bundle", "special file"),
    "a member that is a folder": attack(replaced(bundle.BEHAVIOUR, Path.mkdir), "bundle", "special file"),
    "a huge member": attack(
        replaced(bundle.BEHAVIOUR, sparse(1 << 40)), "bundle", "behaviour.json is larger than"),
    "a huge signature of a shard": attack(
        replaced(SHARD_MEMBER, sparse(bundle.SHARD_LIMIT + 1)), "bundle", "is larger than"),
    "a stranger": attack(added("notes.txt"), "bundle", "notes.txt"),
    "a hidden stranger": attack(added(".DS_Store"), "bundle", "DS_Store"),
    "a member in another case": attack(added("Inventory.json"), "bundle", "Inventory.json"),
    "a folder of strangers": attack(added("original/params.json"), "bundle", "original"),
    "a signature that nobody listed": attack(
        added("shards/more.safetensors.sigstore.json"), "evidence", "more.safetensors.sigstore.json is not listed"),
    "a name that is not Unicode": attack(added("shards/x", not_unicode), "bundle", "undecodable"),
    "a name that turns text round": attack(added("shards/\u202ex.sigstore.json"), "bundle", "formatting"),
    "shards behind a link": attack(shards_elsewhere, "bundle", "'shards' is not a member"),
    "folders without end": attack(added("shards/" + "d/" * 20 + "x.sigstore.json"), "bundle", "nested deeper"),
    "an archive with traversal": attack(
        zipped(Member(name=b"shards/../../x.sigstore.json")), "bundle", "steps through"),
    "an archive with a link": attack(zipped(central={"external": LINK}), "bundle", "link"),
    "an archive with a member twice": attack(zipped(Member(name=b"inventory.json")), "bundle", "twice"),
    "an archive with a stranger": attack(zipped(Member(name=b"notes.txt")), "bundle", "notes.txt"),
    "an archive in front of another": attack(
        zipped(tail=archive([Member(name=b"inventory.json")])), "bundle", "does not lie where"),
    "an archive that is encrypted": attack(zipped(flags=1), "bundle", "encrypted"),
}  # fmt: skip


# ---- by whoever may serve any honest bundle of the same signer ----


def taken(*names: str) -> Deed:
    """Take members from the bundle of the other model."""

    def deed(scene: Scene) -> None:
        other = another_model(scene, SHARDS[1])
        for name in names or bundle.read(other.bundle):
            shutil.copy(other.member(name), scene.member(name))

    return deed


def new_weights(scene: Scene) -> None:
    other = another_model(scene, SHARDS[1])
    shutil.copy(other.checkpoint / SHARDS[1], scene.checkpoint / SHARDS[1])


def of_revision(scene: Scene, digit: str, created: datetime = CREATED) -> None:
    """Replace the bundle by the one of a commit, as the publisher attested it then: honest in every member."""
    shutil.rmtree(scene.bundle)
    hub = FolderAsHub(
        folder=scene.checkpoint,
        copies=scene.root / "copies",
        origin=Origin(kind="hub", name="tiny", repo="acme/tiny", revision=digit * 40),
    )
    attest(hub, scene.bundle, created=created, signer=scene.signer, measure=passing_off(scene.record))


LATER = Expectation(min_time=datetime(2026, 11, 3, tzinfo=UTC))

MISMATCHED: dict[str, Attack] = {
    "the bundle of another model": attack(taken(), "files", "README.md: sha256"),
    "an old bundle with new weights": attack(new_weights, "files", SHARDS[1]),
    "the attestation of another model": attack(taken(bundle.ATTESTATION), "evidence", "is not the signed one"),
    "the inventory of another model": attack(taken(bundle.INVENTORY), "evidence", "inventory.json is not the signed"),
    "the BOM of another model": attack(taken(bundle.BOM, bundle.BOM_SIGNATURE), "evidence", "bom.cdx.json is not"),
    "the record of another model": attack(taken(bundle.BEHAVIOUR), "evidence", "behaviour.json is not the signed"),
    "model.sig of another model": attack(taken(bundle.MODEL_SIGNATURE), "evidence", "model.sig is not the signed"),
    "the signature of another shard": attack(
        taken(bundle.shard_member(SHARDS[1])), "evidence", f"{SHARDS[1]}.sigstore.json is not the signed"),
    "everything of another model but the attestation": attack(
        taken(bundle.INVENTORY, bundle.BOM, bundle.BOM_SIGNATURE, bundle.BEHAVIOUR, bundle.MODEL_SIGNATURE),
        "evidence", "is not the signed one"),
    "the statement of the BOM as the attestation": attack(
        lambda scene: shutil.copy(scene.member(bundle.BOM_SIGNATURE), scene.member(bundle.ATTESTATION)),
        "signature", "predicateType"),
    "model.sig as the attestation": attack(
        lambda scene: shutil.copy(scene.member(bundle.MODEL_SIGNATURE), scene.member(bundle.ATTESTATION)),
        "signature", "predicateType"),
    "an attestation that is too old": attack(lambda _: None, "expectation", "2026-11-03", expected=LATER),
    "an old revision in place of the demanded one": attack(
        lambda scene: of_revision(scene, "a"), "expectation", "revision aaaa",
        expected=Expectation(repo="acme/tiny", revision="b" * 40)),
    "another repository": attack(
        lambda scene: of_revision(scene, "a"), "expectation", "acme/tiny", expected=Expectation(repo="acme/large")),
    "an old attestation of the demanded revision": attack(
        lambda scene: of_revision(scene, "b"), "expectation", "2026-11-03",
        expected=replace(LATER, repo="acme/tiny", revision="b" * 40)),
    "a folder in place of a repository": attack(
        lambda _: None, "expectation", "acme/tiny", expected=Expectation(repo="acme/tiny")),
}  # fmt: skip


# ---- by the signer: every signature is good, and every digest of a member is the signed one ----


def attestation_of(scene: Scene) -> dict[str, Any]:
    """Return the statement of the attestation as it should be, for an attack to bend."""
    inventory = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes())
    said: dict[str, Any] = json.loads(statement_of(scene.bundle, inventory))
    return said


def attested(change: Change) -> Deed:
    """Sign a bent attestation."""

    def deed(scene: Scene) -> None:
        said = attestation_of(scene)
        change(said)
        scene.member(bundle.ATTESTATION).write_bytes(scene.signer.sign_statement(json.dumps(said).encode()))

    return deed


def attested_bytes(change: Callable[[bytes], bytes]) -> Deed:
    """Sign bytes that are no longer what an attestation looks like."""

    def deed(scene: Scene) -> None:
        data = change(json.dumps(attestation_of(scene)).encode())
        scene.member(bundle.ATTESTATION).write_bytes(scene.signer.sign_statement(data))

    return deed


def subject(change: Change) -> Deed:
    return attested(lambda said: change(said["subject"][0]))


def evidence(change: Change) -> Deed:
    return attested(lambda said: change(said["predicate"]["evidence"]))


def resealed(deed: Deed) -> Deed:
    """Attest whatever is in the bundle after an attack on it."""

    def whole(scene: Scene) -> None:
        inventory = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes())
        deed(scene)
        scene.reseal(inventory)

    return whole


def model_sig(change: Change) -> Deed:
    """Sign a bent model.sig, and attest it."""

    def deed(scene: Scene) -> None:
        files = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes()).files
        said = json.loads(oms.build("tiny", [(file.name, file.sha256) for file in files]))
        change(said)
        signed = scene.signer.sign_statement(json.dumps(said).encode())
        scene.member(bundle.MODEL_SIGNATURE).write_bytes(signed)

    return resealed(deed)


def resource(change: Change) -> Deed:
    return model_sig(lambda said: change(said["predicate"]["resources"]))


def serialization(**members: Any) -> Deed:
    return model_sig(lambda said: said["predicate"]["serialization"].update(members))


def bom_statement(change: Change) -> Deed:
    """Sign a bent statement of the BOM, and attest it."""

    def deed(scene: Scene) -> None:
        files = Inventory.from_bytes(scene.member(bundle.INVENTORY).read_bytes()).files
        document = json.loads(scene.member(bundle.BOM).read_bytes())
        subjects = [(file.name, file.sha256) for file in files]
        said = json.loads(statement.build(subjects, BOM_PREDICATE_TYPE, document))
        change(said)
        scene.member(bundle.BOM_SIGNATURE).write_bytes(scene.signer.sign_statement(json.dumps(said).encode()))

    return resealed(deed)


def shard_signed(sign: Callable[[Scene], bytes], member: str = SHARD_MEMBER) -> Deed:
    return resealed(lambda scene: scene.member(member).write_bytes(sign(scene)))


def twice(name: bytes) -> Callable[[bytes], bytes]:
    """Say a member of a document a second time, with null for its value."""
    return lambda data: data.replace(b'"%s":' % name, b'"%s": null, "%s":' % (name, name), 1)


def digest(**digests: str) -> Deed:
    return subject(lambda item: item.update(digest=digests))


ATTESTATIONS: dict[str, Attack] = {
    "another predicate type": attack(
        attested(lambda said: said.update(predicateType="https://slsa.dev/provenance/v1")),
        "signature", "predicateType"),
    "a later predicate type": attack(
        attested(lambda said: said.update(predicateType="urn:mbom:attestation:v2")), "signature", "predicateType"),
    "an older statement type": attack(
        attested(lambda said: said.update(_type="https://in-toto.io/Statement/v0.1")), "signature", "_type"),
    "no statement type": attack(attested(lambda said: said.pop("_type")), "signature", "'_type' is missing"),
    "a member beside the predicate": attack(attested(lambda said: said.update(note=1)), "signature", "unknown member"),
    "no subjects": attack(attested(lambda said: said.update(subject=[])), "signature", "names no file"),
    "a subject twice": attack(
        attested(lambda said: said["subject"].append(said["subject"][0])), "signature", "occurs twice"),
    "a subject twice with two digests": attack(
        attested(lambda said: said["subject"].append({**said["subject"][0], "digest": {"sha256": "0a" * 32}})),
        "signature", "occurs twice"),
    "a subject without a name": attack(subject(lambda item: item.update(name="")), "signature", "empty name"),
    "a subject without a digest": attack(digest(), "signature", "'sha256' is missing"),
    "a subject by MD5": attack(digest(md5="0a" * 16), "signature", "'sha256' is missing"),
    "a subject by SHA-1": attack(digest(sha1="0a" * 20), "signature", "'sha256' is missing"),
    "a subject by SHA-1 in place of SHA-256": attack(digest(sha256="0a" * 20), "signature", "64 lower-case"),
    "a subject by a git blob": attack(digest(gitBlob="0a" * 20), "signature", "'sha256' is missing"),
    "a weak digest beside the strong one": attack(
        subject(lambda item: item["digest"].update(md5="0a" * 16)), "signature", "unknown member 'md5'"),
    "a digest in upper case": attack(
        subject(lambda item: item["digest"].update(sha256=item["digest"]["sha256"].upper())),
        "signature", "lower-case"),
    "a digest that is cut": attack(
        subject(lambda item: item["digest"].update(sha256=item["digest"]["sha256"][:-2])),
        "signature", "64 lower-case"),
    "a digest with white space": attack(
        subject(lambda item: item["digest"].update(sha256=item["digest"]["sha256"] + "\n")), "signature", "lower-case"),
    "a digest in base64": attack(digest(sha256="A" * 43 + "="), "signature", "64 lower-case"),
    "a note on a subject": attack(
        subject(lambda item: item.update(annotations={"trusted": True})), "signature", "unknown member"),
    "a subject with traversal": attack(
        subject(lambda item: item.update(name="../config.json")), "files", "is missing from the inventory"),
    "a subject that is left out": attack(attested(lambda said: said["subject"].pop()), "files", "is not signed"),
    "a subject that is not there": attack(
        attested(lambda said: said["subject"].append({"name": "more", "digest": {"sha256": "0a" * 32}})),
        "files", "more is missing"),
    "no predicate": attack(attested(lambda said: said.update(predicate=None)), "signature", "not an object"),
    "another tool": attack(
        attested(lambda said: said["predicate"]["tool"].update(name="mbom2")), "signature", "mbom2"),
    "a time in another zone": attack(
        attested(lambda said: said["predicate"].update(time="2026-11-02T08:30:00+01:00")), "signature", "UTC time"),
    "a time that is a number": attack(
        attested(lambda said: said["predicate"].update(time=1793608200)), "signature", "'time' is an integer"),
    "the digest of another model": attack(
        attested(lambda said: said["predicate"]["model"].update(digest="0a" * 32)), "files", "the model digest is"),
    "a repository for a folder": attack(
        attested(lambda said: said["predicate"]["model"].update(repo="openai/gpt-oss-20b")), "signature", "repository"),
    "another name than the inventory's": attack(
        attested(lambda said: said["predicate"]["model"].update(name="gpt-oss-20b")), "files", "another repository"),
    "no evidence": attack(evidence(lambda items: items.clear()), "evidence", "is not listed"),
    "evidence that names a member twice": attack(
        evidence(lambda items: items.append(items[0])), "signature", "twice"),
    "evidence that is itself": attack(
        evidence(lambda items: items.append({**items[0], "name": bundle.ATTESTATION})), "evidence", "is missing"),
    "evidence with traversal": attack(
        evidence(lambda items: items.append({**items[0], "name": "../release.pem"})), "evidence", "is missing"),
    "evidence by SHA-1": attack(
        evidence(lambda items: items[0].update(sha256="0a" * 20)), "signature", "64 lower-case"),
    "evidence in upper case": attack(
        evidence(lambda items: items[0].update(sha256=items[0]["sha256"].upper())), "signature", "lower-case"),
    "evidence of another media type": attack(
        evidence(lambda items: items[0].update(mediaType="text/html")), "evidence", "is not the signed one"),
    "a member of the statement twice": attack(
        attested_bytes(twice(b"predicate")), "signature", "'predicate' occurs twice"),
    "a statement with NaN": attack(
        attested_bytes(lambda data: data.replace(b'"source":', b'"x": NaN, "source":', 1)), "signature", "NaN"),
    "a statement in UTF-16": attack(
        attested_bytes(lambda data: data.decode().encode("utf-16")), "signature", "not UTF-8"),
    "a statement that is no statement": attack(attested_bytes(lambda _: b"null"), "signature", "null where an object"),
}  # fmt: skip

OTHERS: dict[str, Attack] = {
    "model.sig of the deprecated kind": attack(
        model_sig(lambda said: said.update(predicateType="https://model_signing/Digests/v0.1")),
        "model-sig", "predicateType"),
    "model.sig about two models": attack(
        model_sig(lambda said: said["subject"].append({**said["subject"][0], "name": "b"})), "model-sig", "2 subjects"),
    "model.sig with another root": attack(
        model_sig(lambda said: said["subject"][0]["digest"].update(sha256="0a" * 32)), "model-sig", "does not follow"),
    "model.sig without files": attack(resource(lambda items: items.clear()), "model-sig", "names no file"),
    "model.sig out of order": attack(resource(lambda items: items.reverse()), "model-sig", "not sorted"),
    "model.sig by BLAKE2": attack(
        resource(lambda items: items[0].update(algorithm="blake2b")), "model-sig", "algorithm"),
    "model.sig by SHA-1": attack(resource(lambda items: items[0].update(digest="0a" * 20)), "model-sig", "64 lower"),
    "model.sig with traversal": attack(
        resource(lambda items: items[0].update(name="../LICENSE")), "model-sig", "not a plain path"),
    "model.sig with a file twice": attack(
        resource(lambda items: items.insert(0, items[0])), "model-sig", "occurs twice"),
    "model.sig by shards": attack(serialization(method="shards"), "model-sig", "method"),
    "model.sig of another hash": attack(serialization(hash_type="blake3"), "model-sig", "hash_type"),
    "the signature of a digest as model.sig": attack(
        resealed(lambda scene: shutil.copy(scene.member(SHARD_MEMBER), scene.member(bundle.MODEL_SIGNATURE))),
        "model-sig", "signs a file's digest"),
    "a statement as a shard's signature": attack(
        shard_signed(lambda scene: scene.signer.sign_statement(b"{}")), "shards", "signs a statement"),
    "a shard's signature of another file": attack(
        shard_signed(lambda scene: scene.signer.sign_digest("0a" * 32)), "shards", "and the file's is"),
    "the signature of a file that is no shard": attack(
        shard_signed(lambda scene: scene.signer.sign_digest("0a" * 32), bundle.shard_member("config.json")),
        "shards", "belongs to no weight file"),
    "a shard's signature by SHA-512": attack(
        resealed(edited(
            lambda document: document["messageSignature"]["messageDigest"].update(algorithm="SHA2_512"), SHARD_MEMBER)),
        "shards", "algorithm"),
    "a BOM of another predicate type": attack(
        bom_statement(lambda said: said.update(predicateType="https://spdx.dev/Document")), "bom", "predicateType"),
    "a BOM about other files": attack(
        bom_statement(lambda said: said["subject"].pop()), "bom", "about other files"),
    "a statement of another BOM": attack(
        bom_statement(lambda said: said["predicate"].update(version=2)), "bom", "signs another BOM"),
    "a BOM with a member twice": attack(
        resealed(raw(twice(b"specVersion"), bundle.BOM)), "bom", "'specVersion' occurs twice"),
    "an inventory with a member twice": attack(
        resealed(raw(twice(b"declared"), bundle.INVENTORY)), "files", "'declared' occurs twice"),
    "an inventory with a fraction": attack(
        resealed(raw(lambda data: data.replace(b'"size": ', b'"size": 0.', 1), bundle.INVENTORY)),
        "files", "only integers"),
    "a record with a member twice": attack(
        resealed(raw(twice(b"coverage"), bundle.BEHAVIOUR)), "behaviour-record", "'coverage' occurs twice"),
    "a record of another version": attack(
        resealed(raw(lambda data: data.replace(b"behaviour:v3", b"behaviour:v2"), bundle.BEHAVIOUR)),
        "behaviour-record", "only 'urn:mbom:behaviour:v3' is known"),
}  # fmt: skip

FORGED = {**ENVELOPES, **MEMBERS}
SIGNED = {**ATTESTATIONS, **OTHERS}
EVERY = {**FORGED, **MISMATCHED, **SIGNED}
