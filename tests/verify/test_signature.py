"""Signatures that are no part of a bundle, step by step: of models, of single files, in the deprecated format."""

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from pki import SIGNER, SIGNING, chain_bundle, digest_under, issue
from reference import ask, verify_with_key, verify_with_root

from mbom.digest import sha256
from mbom.inventory import ScanProgress
from mbom.signing import CertificateVerifier, KeyVerifier, LocalSigner, Statement, Verifier, oms, statement
from mbom.signing.dsse import PAYLOAD_TYPE, encode
from mbom.signing.manifest import LEGACY_PREDICATE_TYPE
from mbom.signing.oms import OmsManifest
from mbom.signing.sigstorebundle import BUNDLE_LIMIT, MEDIA_TYPE
from mbom.source import FolderSource
from mbom.verdict import SIGNATURE_STEPS, SignatureVerdict
from mbom.verify import verify_signature

FILES = {"config.json": b"{}", "model.safetensors": b"weights" * 100, "README.md": b"# Tiny"}
KEY = ec.generate_private_key(ec.SECP256R1())
KEY_SIGNER = LocalSigner(KEY)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def predicate(files: dict[str, bytes], *ignored: str) -> bytes:
    """Return the statement of a signer who left out ``ignored``."""
    value: dict[str, Any] = json.loads(
        oms.build("tiny", [(name, sha256(content)) for name, content in files.items() if name not in ignored])
    )
    value["predicate"]["serialization"]["ignore_paths"] = list(ignored)
    return json.dumps(value).encode()


def sign(path: Path, signed: bytes) -> Path:
    path.write_bytes(KEY_SIGNER.sign_statement(signed))
    return path


def verify(
    signature: Path, checkpoint: Path, *, verifier: Verifier | None = None, allow_legacy: bool = False
) -> SignatureVerdict:
    return verify_signature(
        signature,
        checkpoint if checkpoint.is_file() else FolderSource(checkpoint),
        verifier=verifier or KeyVerifier(KEY_SIGNER.public_key, legacy=allow_legacy),
        allow_legacy=allow_legacy,
    )


def outcomes(verdict: SignatureVerdict) -> str:
    assert tuple(check.id for check in verdict.checks) == SIGNATURE_STEPS
    return " ".join(check.outcome for check in verdict.checks)


def failure(verdict: SignatureVerdict) -> str:
    assert verdict.outcome == "refused"
    check = next(check for check in verdict.checks if check.outcome == "FAIL")
    return f"{check.id}: {check.detail}"


# ---- files that a signature leaves out ----


def test_everything_signed_is_verified_without_reservation(model: Path, tmp_path: Path) -> None:
    verdict = verify(sign(tmp_path / "model.sig", predicate(FILES)), model)
    assert outcomes(verdict) == "PASS PASS PASS PASS PASS"
    assert (verdict.outcome, verdict.exit_code, verdict.reservation) == ("verified", 0, "")
    assert (verdict.files, verdict.ignored) == (3, ())
    assert verdict.signer == KeyVerifier(KEY_SIGNER.public_key).identity
    assert verdict.model is not None
    assert verdict.model["name"] == "tiny"


def test_what_is_left_out_is_listed_and_flagged(model: Path, tmp_path: Path) -> None:
    (model / ".gitattributes").write_bytes(b"x")
    verdict = verify(sign(tmp_path / "model.sig", predicate(FILES, "README.md")), model)
    assert outcomes(verdict) == "PASS PASS PASS PASS SKIP"
    assert verdict.outcome == "verified"
    assert verdict.ignored == (".gitattributes", "README.md")
    assert verdict.checks[4].detail == "not covered by the signature, nor checked: .gitattributes, README.md"
    assert verdict.reservation == "what the signature does not cover: .gitattributes and 1 more"


def test_a_long_list_of_what_is_left_out_ends_in_a_count_and_the_verdict_has_all(model: Path, tmp_path: Path) -> None:
    (model / "docs").mkdir()
    for number in range(25):
        (model / "docs" / f"{number:02}.md").write_bytes(b"x")
    verdict = verify(sign(tmp_path / "model.sig", predicate(FILES, "docs")), model)
    assert verdict.checks[4].detail.endswith("docs/19.md and 5 more")
    assert verdict.ignored == tuple(f"docs/{number:02}.md" for number in range(25))


@pytest.mark.parametrize(
    "name",
    [
        *("model-00002.safetensors", "x.bin", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        *("model.safetensors.index.json", "generation_config.json", "modeling.py", "a/b/libx.so"),
    ],
)
def test_what_a_loader_uses_may_not_be_left_out(name: str, model: Path, tmp_path: Path) -> None:
    (model / name).parent.mkdir(parents=True, exist_ok=True)
    (model / name).write_bytes(b"x")
    verdict = verify(sign(tmp_path / "model.sig", predicate(FILES, name.partition("/")[0])), model)
    assert outcomes(verdict) == "PASS PASS PASS PASS FAIL"
    assert f"ignored: {name} is not covered by the signature, and a loader would use it" in failure(verdict)
    assert verdict.ignored == (name,)


def test_a_workflow_of_git_s_host_may_be_left_out(model: Path, tmp_path: Path) -> None:
    (model / ".github").mkdir()
    (model / ".github" / "release.py").write_bytes(b"x")
    verdict = verify(sign(tmp_path / "model.sig", predicate(FILES)), model)
    assert (verdict.outcome, verdict.ignored) == ("verified", (".github/release.py",))


def test_a_left_out_file_that_is_signed_all_the_same_is_verified(model: Path, tmp_path: Path) -> None:
    value = json.loads(predicate(FILES))
    value["predicate"]["serialization"]["ignore_paths"] = ["config.json"]
    signature = sign(tmp_path / "model.sig", json.dumps(value).encode())
    assert verify(signature, model).ignored == ()
    (model / "config.json").write_bytes(b"[]")
    assert failure(verify(signature, model)).startswith("files: config.json: sha256")


def test_unsigned_and_missing_files_are_named_before_anything_is_hashed(model: Path, tmp_path: Path) -> None:
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    (model / "config.json").rename(model / "config2.json")
    said = failure(verify(signature, model))
    assert said == (
        "files: config.json is missing from the checkpoint; config2.json in the checkpoint is not signed "
        "(no file was hashed)"
    )


def test_a_signed_file_of_a_tool_s_own_storage_is_said_to_be_unread(model: Path, tmp_path: Path) -> None:
    (model / ".cache" / "huggingface").mkdir(parents=True)
    (model / ".cache" / "huggingface" / "x.json").write_bytes(b"{}")
    assert verify(sign(tmp_path / "a.sig", predicate(FILES)), model).outcome == "verified"
    signed = predicate(FILES | {".cache/huggingface/x.json": b"{}"})
    assert "mbom reads no files of git or of the hub's client" in failure(
        verify(sign(tmp_path / "b.sig", signed), model)
    )


# ---- the signature in the model's own folder ----


@pytest.mark.parametrize("name", ["model.sig", "claims.json", "sub/model.sig"])
def test_copies_of_the_signature_itself_need_no_signature(name: str, model: Path, tmp_path: Path) -> None:
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    (model / name).parent.mkdir(exist_ok=True)
    shutil.copy(signature, model / name)
    assert verify(model / name, model).reservation == ""
    assert verify(signature, model).reservation == ""
    changed = bytearray(signature.read_bytes())
    changed[-1] ^= 1
    (model / name).write_bytes(changed)
    assert failure(verify(signature, model)).startswith(f"files: {name} in the checkpoint is not signed")


@pytest.mark.parametrize("name", ["tokenizer_config.json", "model-2.safetensors", "modeling.py"])
def test_a_copy_of_the_signature_under_a_name_that_loaders_read_is_an_unsigned_file(
    name: str, model: Path, tmp_path: Path
) -> None:
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    shutil.copy(signature, model / name)
    assert failure(verify(signature, model)).startswith(f"files: {name} in the checkpoint is not signed")


def test_a_signer_who_followed_links_is_told(model: Path, tmp_path: Path) -> None:
    value = json.loads(predicate(FILES))
    value["predicate"]["serialization"]["allow_symlinks"] = True
    verdict = verify(sign(tmp_path / "model.sig", json.dumps(value).encode()), model)
    assert verdict.checks[2].detail == "3 files by sha256, by a signer who followed links"


def test_another_signature_beside_is_an_unsigned_file(model: Path) -> None:
    sign(model / "old.sig", predicate(FILES))
    signature = sign(model / "model.sig", predicate(FILES, "model.sig"))
    assert "old.sig in the checkpoint is not signed" in failure(verify(signature, model))


# ---- one file ----


def test_a_shard_with_a_signature_of_its_own_is_verified_alone(tmp_path: Path) -> None:
    shard = tmp_path / "model-00001-of-00002.safetensors"
    shard.write_bytes(b"weights" * 1000)
    signature = tmp_path / "shard.sigstore.json"
    signature.write_bytes(KEY_SIGNER.sign_digest(sha256(shard.read_bytes())))
    verdict = verify(signature, shard)
    assert outcomes(verdict) == "PASS PASS SKIP PASS PASS"
    assert (verdict.outcome, verdict.files, verdict.model, verdict.reservation) == ("verified", 1, None, "")
    assert sha256(shard.read_bytes()) in verdict.checks[3].detail

    shard.write_bytes(b"weights" * 999 + b"weight5")
    verdict = verify(signature, shard)
    assert outcomes(verdict) == "PASS FAIL SKIP SKIP SKIP"
    assert verdict.signer is None
    assert "signs the SHA-256" in failure(verdict)


def test_a_shard_is_verified_under_a_certificate_too(tmp_path: Path) -> None:
    root = issue("Root")
    holder = issue("Release", under=root, extensions=SIGNING)
    (tmp_path / "shard.safetensors").write_bytes(b"weights")
    (tmp_path / "s.json").write_bytes(digest_under(sha256(b"weights"), holder))
    trusted = CertificateVerifier([root.certificate], identity=SIGNER)
    assert verify(tmp_path / "s.json", tmp_path / "shard.safetensors", verifier=trusted).outcome == "verified"


def test_a_shard_s_signature_says_nothing_of_a_folder(model: Path, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_bytes(KEY_SIGNER.sign_digest("00" * 32))
    assert "signs one file by itself; name that file" in failure(verify(tmp_path / "s.json", model))


def test_a_model_that_is_one_file_goes_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(b"weights")
    signature = sign(tmp_path / "model.sig", predicate({"tiny.gguf": b"weights"}))
    assert verify(signature, path).outcome == "verified"
    path.rename(tmp_path / "other.gguf")
    assert "signs 'tiny.gguf', and the file is 'other.gguf'" in failure(verify(signature, tmp_path / "other.gguf"))
    many = sign(tmp_path / "many.sig", predicate(FILES))
    assert "signs 3 files; name the folder" in failure(verify(many, tmp_path / "other.gguf"))


# ---- the deprecated format ----


def deprecated(files: dict[str, bytes], **annotation: str) -> bytes:
    subjects = [
        {"name": name, "digest": {"sha256": sha256(content)}} | ({"annotations": annotation} if annotation else {})
        for name, content in files.items()
    ]
    return json.dumps(
        {
            "_type": statement.STATEMENT_TYPE,
            "subject": subjects,
            "predicateType": LEGACY_PREDICATE_TYPE,
            "predicate": {"unused": "Unused, just passed due to API requirements"},
        }
    ).encode()


def signed_as_0_2(payload: bytes, key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    """Return the envelope as that version made it: a string of Python's in the encoding, SHA-256 on every curve."""
    encoding = f"DSSEV1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} {payload!r}"
    signature = key.sign(encoding.encode(), ec.ECDSA(hashes.SHA256()))
    signatures = [{"sig": encode(signature), "keyid": None}]
    return {"dsseEnvelope": {"payload": encode(payload), "payloadType": PAYLOAD_TYPE, "signatures": signatures}}


def test_the_deprecated_format_is_refused_by_name_and_taken_on_demand(model: Path, tmp_path: Path) -> None:
    pem = KEY_SIGNER.public_key.pem
    material = {"publicKey": {"rawBytes": encode(pem), "keyDetails": "PKIX_ECDSA_P256_SHA_256"}}
    payload = deprecated(FILES, actual_hash_algorithm="file-sha256")
    signature = tmp_path / "model.sig"
    signature.write_text(
        json.dumps({"mediaType": MEDIA_TYPE, "verificationMaterial": material, **signed_as_0_2(payload, KEY)})
    )
    (tmp_path / "key.pub").write_bytes(pem)
    assert "deprecated format of model-signing 0.2" in failure(verify(signature, model))
    verdict = verify(signature, model, allow_legacy=True)
    assert verdict.outcome == "verified"
    assert verdict.checks[2].detail == "3 files by sha256, in the deprecated format"
    # Who allows the format, and not the way in which it was signed, gets no further.
    strict = KeyVerifier(KEY_SIGNER.public_key)
    assert "does not hold" in failure(verify(signature, model, verifier=strict, allow_legacy=True))
    (answer,) = ask([verify_with_key(model, signature, tmp_path / "key.pub")])
    assert answer.accepted, answer.said
    (model / "README.md").write_bytes(b"# Tinier")
    assert failure(verify(signature, model, allow_legacy=True)).startswith("files: README.md")


def test_the_deprecated_format_under_a_certificate(model: Path, tmp_path: Path) -> None:
    root = issue("Root")
    holder = issue("Release", under=root, extensions=SIGNING, key=ec.generate_private_key(ec.SECP384R1()))
    assert isinstance(holder.key, ec.EllipticCurvePrivateKey)
    signature = tmp_path / "model.sig"
    signature.write_bytes(chain_bundle(signed_as_0_2(deprecated(FILES), holder.key), holder.chain))
    (tmp_path / "root.pem").write_bytes(root.pem)
    trusted = CertificateVerifier([root.certificate], identity=SIGNER, legacy=True)
    assert verify(signature, model, verifier=trusted, allow_legacy=True).outcome == "verified"
    assert failure(verify(signature, model, verifier=trusted)).startswith("bundle: ")
    (answer,) = ask([verify_with_root(model, signature, tmp_path / "root.pem")])
    assert answer.accepted, answer.said


def test_the_old_encoding_carries_the_deprecated_format_alone(model: Path, tmp_path: Path) -> None:
    signature = tmp_path / "model.sig"
    material = {"publicKey": {"hint": KEY_SIGNER.public_key.hint}}
    signature.write_text(
        json.dumps({"mediaType": MEDIA_TYPE, "verificationMaterial": material, **signed_as_0_2(predicate(FILES), KEY)})
    )
    assert "does not hold" in failure(verify(signature, model, allow_legacy=True))


DEPRECATED: dict[str, tuple[bytes, str]] = {
    "a digest that is not over the file": (
        deprecated(FILES, actual_hash_algorithm="file-sha256-sharded-1000"),
        "only 'file-sha256' is known",
    ),
    "another annotation": (
        deprecated(FILES, actual_hash_algorithm="file-sha256", note="x"),
        "unknown member 'note'",
    ),
    "no file": (deprecated({}), "names no file"),
    "a name out of the folder": (deprecated({"../config.json": b"{}"}), "not a plain relative path"),
}


@pytest.mark.parametrize("case", DEPRECATED)
def test_the_deprecated_format_is_read_as_strictly(case: str, model: Path, tmp_path: Path) -> None:
    payload, said = DEPRECATED[case]
    assert said in failure(verify(sign(tmp_path / "model.sig", payload), model, allow_legacy=True))


# ---- older bundles of the present format ----


def with_key_inside(value: dict[str, Any], key: bytes, hint: str | None = None) -> bytes:
    value["verificationMaterial"] = {"publicKey": {"rawBytes": base64.b64encode(key).decode(), "hint": hint}}
    return json.dumps(value).encode()


def test_the_key_in_an_older_bundle_names_the_signer_and_is_never_trusted(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.sig"
    own = KEY_SIGNER.public_key
    path.write_bytes(with_key_inside(json.loads(KEY_SIGNER.sign_statement(predicate(FILES))), own.pem))
    assert verify(path, model).outcome == "verified"
    mallory = LocalSigner(ec.generate_private_key(ec.SECP256R1()))
    forged = json.loads(mallory.sign_statement(predicate(FILES)))
    path.write_bytes(with_key_inside(forged, mallory.public_key.pem))
    assert "signed with another key" in failure(verify(path, model))
    path.write_bytes(with_key_inside(forged, own.pem))
    assert "does not hold" in failure(verify(path, model))
    path.write_bytes(with_key_inside(forged, own.pem, mallory.public_key.hint))
    assert "the hint names another key" in failure(verify(path, model))


# ---- what is no signature, or cannot be looked at ----


NO_SIGNATURE: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty file": (lambda path: path.touch(), "not JSON"),
    "UTF-16": (lambda path: path.write_bytes("{}".encode("utf-16")), "not UTF-8"),
    "a list": (lambda path: path.write_bytes(b"[]"), "where an object belongs"),
    "a huge file": (lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), BUNDLE_LIMIT + 1), "larger than"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "a folder": (lambda path: path.mkdir(), "not a regular file"),
    "another kind of statement": (
        lambda path: path.write_bytes(
            KEY_SIGNER.sign_statement(statement.build([("a", "00" * 32)], "https://cyclonedx.org/bom", {}))
        ),
        "a statement of 'https://cyclonedx.org/bom', where one of OpenSSF Model Signing belongs",
    ),
}


@pytest.mark.parametrize("case", NO_SIGNATURE)
def test_what_is_no_signature_is_refused(case: str, model: Path, tmp_path: Path) -> None:
    make, said = NO_SIGNATURE[case]
    make(tmp_path / "model.sig")
    verdict = verify(tmp_path / "model.sig", model)
    assert outcomes(verdict) == "FAIL SKIP SKIP SKIP SKIP"
    assert said in failure(verdict)


def test_what_cannot_be_looked_at_is_no_pass(model: Path, tmp_path: Path) -> None:
    verdict = verify(tmp_path / "model.sig", model)
    assert (verdict.outcome, verdict.exit_code) == ("incomplete", 3)
    assert "the signature cannot be read: No such file" in verdict.checks[0].detail
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    (model / "link.md").symlink_to("README.md")
    assert verify(signature, model).exit_code == 3
    gone = verify_signature(signature, tmp_path / "gone.bin", verifier=KeyVerifier(KEY_SIGNER.public_key))
    assert gone.exit_code == 1, "the signature is of other files, whatever became of this one"


def test_a_signature_through_a_link_is_read_as_one_in_the_hub_s_cache_is(model: Path, tmp_path: Path) -> None:
    sign(tmp_path / "blob", predicate(FILES))
    (tmp_path / "model.sig").symlink_to("blob")
    assert verify(tmp_path / "model.sig", model).outcome == "verified"


def test_a_snapshot_of_the_hub_s_cache_is_a_checkpoint(tmp_path: Path) -> None:
    repo = tmp_path / "models--org--tiny"
    snapshot = repo / "snapshots" / ("ab" * 20)
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir()
    for name, content in FILES.items():
        (repo / "blobs" / sha256(content)).write_bytes(content)
        (snapshot / name).symlink_to(f"../../blobs/{sha256(content)}")
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    assert verify(signature, snapshot).outcome == "verified"
    (repo / "blobs" / sha256(FILES["config.json"])).write_bytes(b"[]")
    assert failure(verify(signature, snapshot)).startswith("files: config.json")


def test_a_file_that_changes_while_it_is_hashed_is_refused(model: Path, tmp_path: Path) -> None:
    signature = sign(tmp_path / "model.sig", predicate(FILES))

    def grow(report: ScanProgress) -> None:
        if report.name == "model.safetensors":
            with (model / "model.safetensors").open("ab") as file:
                file.write(b"x")

    verdict = verify_signature(
        signature, FolderSource(model), verifier=KeyVerifier(KEY_SIGNER.public_key), on_scan=grow
    )
    assert re.search(r"model\.safetensors: extended from .* while it was read", failure(verdict))


def test_progress_ends_with_every_byte_and_an_interrupt_passes(model: Path, tmp_path: Path) -> None:
    signature = sign(tmp_path / "model.sig", predicate(FILES))
    reports: list[ScanProgress] = []
    verifier = KeyVerifier(KEY_SIGNER.public_key)
    assert verify_signature(signature, FolderSource(model), verifier=verifier, on_scan=reports.append).files == 3
    assert (reports[-1].files_done, reports[-1].bytes_done) == (3, sum(map(len, FILES.values())))
    assert [report.bytes_done for report in reports] == sorted(report.bytes_done for report in reports)

    def interrupt(report: ScanProgress) -> None:
        raise KeyboardInterrupt(report.name)

    with pytest.raises(KeyboardInterrupt):
        verify_signature(signature, FolderSource(model), verifier=verifier, on_scan=interrupt)


class Notary:
    """A verifier of another kind: it keeps what it signed in a book of its own."""

    identity = "the notary"

    def __init__(self, *signed: bytes) -> None:
        self._book = {hashlib.sha256(item).digest() for item in signed}

    def verify_statement(self, bundle: bytes, *, predicate_type: str, what: str = "bundle") -> Statement:
        payload = base64.b64decode(json.loads(bundle)["dsseEnvelope"]["payload"])
        assert hashlib.sha256(payload).digest() in self._book
        return statement.parse(payload, predicate_type=predicate_type, what=what)

    def verify_digest(self, bundle: bytes, sha256: str, *, what: str = "bundle") -> None:
        raise NotImplementedError

    def verify_oms(self, bundle: bytes, *, what: str = "model.sig") -> OmsManifest:
        raise NotImplementedError

    def narrowed(self, signed: Statement) -> "Notary":
        raise NotImplementedError


def test_any_verifier_can_vouch_for_a_signature(model: Path, tmp_path: Path) -> None:
    signed = predicate(FILES)
    bundle = json.loads(KEY_SIGNER.sign_statement(signed))
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{"logIndex": "1"}]}
    (tmp_path / "model.sig").write_text(json.dumps(bundle))
    verdict = verify(tmp_path / "model.sig", model, verifier=Notary(signed))
    assert (verdict.outcome, verdict.signer) == ("verified", "the notary")
