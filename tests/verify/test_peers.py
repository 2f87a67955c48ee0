"""The reference tool and mbom on the same signatures: where they agree, and where mbom is stricter on purpose."""

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from pki import CODE_SIGNING, SIGNER, SIGNING, Holder, alternative, constraints, issue, purposes, signed_under, usage
from reference import Answer, ask, verify_with_key, verify_with_root

from mbom.digest import sha256
from mbom.signing import CertificateVerifier, KeyVerifier, LocalSigner, generate, oms
from mbom.signing.manifest import LEGACY_PREDICATE_TYPE
from mbom.source import FolderSource
from mbom.verdict import SignatureVerdict
from mbom.verify import verify_signature

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}
FILES = {
    ".gitattributes": b"*.safetensors filter=lfs\n",
    "config.json": b"{}",
    "d-x/c": b"sorts before d/b by code point and behind it by component",
    "d/b": b"",
    "model.safetensors": bytes(range(256)) * 9,
    "模型.txt": b"name beyond ASCII",
}
ROOT = issue("Example Root")
BETWEEN = issue("Example Signing CA", under=ROOT)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model with its signature, and what each tool is to trust."""

    model: Path
    signature: Path
    key: Path | None  # a public key, else a root
    root: Path | None = None

    def ours(self, *, identity: str = SIGNER, allow_legacy: bool = False) -> SignatureVerdict:
        verifier: KeyVerifier | CertificateVerifier
        if self.key is not None:
            verifier = KeyVerifier.load(self.key, legacy=allow_legacy)
        else:
            assert self.root is not None
            verifier = CertificateVerifier.load([self.root], identity=identity, legacy=allow_legacy)
        source = self.model if self.model.is_file() else FolderSource(self.model)
        return verify_signature(self.signature, source, verifier=verifier, allow_legacy=allow_legacy)

    def theirs(self) -> list[str | Path]:
        """The reference tool's arguments."""
        if self.key is not None:
            return verify_with_key(self.model, self.signature, self.key)
        assert self.root is not None
        return verify_with_root(self.model, self.signature, self.root)


def lay(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


# ---- what the reference tool signs ----


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    """Models that the reference tool signed, in every way that it can."""
    root = tmp_path_factory.mktemp("signed")
    jobs: list[list[str | Path]] = []
    cases: dict[str, Case] = {}
    for curve, kind in CURVES.items():
        folder = root / curve
        holder = issue("Release", under=BETWEEN, extensions=SIGNING, key=ec.generate_private_key(kind))
        folder.mkdir()
        holder.write(folder)
        (folder / "key.pem").chmod(0o600)
        (folder / "key.pub").write_bytes(LocalSigner.load(folder / "key.pem").public_key.pem)
        by_key, by_certificate = lay(folder / "by-key"), lay(folder / "by-certificate")
        with_key: list[str | Path] = ["--private_key", folder / "key.pem", "--signature"]
        jobs.append(["sign", "key", by_key, *with_key, by_key / "model.sig"])
        chain: list[str | Path] = [
            "--signing_certificate",
            folder / "leaf.pem",
            "--certificate_chain",
            folder / "between.pem",
        ]
        jobs.append(["sign", "certificate", by_certificate, *with_key, by_certificate / "model.sig", *chain])
        cases[f"{curve} key"] = Case(model=by_key, signature=by_key / "model.sig", key=folder / "key.pub")
        cases[f"{curve} certificate"] = Case(
            model=by_certificate, signature=by_certificate / "model.sig", key=None, root=folder / "root.pem"
        )
    key, public = root / "P-256" / "key.pem", root / "P-256" / "key.pub"
    model = lay(root / "model")
    for method, algorithm, size in (
        ("files", "blake2", 0),
        ("files", "blake3", 0),
        ("shards", "sha256", 100),
        ("shards", "sha256", 1_000_000_000),
        ("shards", "blake2", 256),
    ):
        name = f"{method} {algorithm} {size}"
        jobs.append(["sign-as", key, model, root / f"{name}.sig", method, algorithm, str(size)])
        cases[name] = Case(model=model, signature=root / f"{name}.sig", key=public)
    alone = root / "model" / "model.safetensors"
    jobs.append(["sign", "key", alone, "--private_key", key, "--signature", root / "alone.sig"])
    cases["one file"] = Case(model=alone, signature=root / "alone.sig", key=public)
    part = lay(root / "part")
    jobs.append(
        ["sign", "key", part, "--private_key", key, "--signature", root / "part.sig", "--ignore-paths", part / "d-x"]
    )
    cases["a folder left out"] = Case(model=part, signature=root / "part.sig", key=public)
    everything = lay(root / "everything")
    command: list[str | Path] = ["sign", "key", everything, "--private_key", key, "--signature", root / "all.sig"]
    jobs.append([*command, "--no-ignore-git-paths"])
    cases["git's files too"] = Case(model=everything, signature=root / "all.sig", key=public)
    for answer in ask(jobs):
        assert answer.status == 0, answer.said
    return cases


SIGNED = [
    *(f"{curve} {kind}" for curve in CURVES for kind in ("key", "certificate")),
    *("files blake2 0", "files blake3 0", "shards sha256 100", "shards sha256 1000000000", "shards blake2 256"),
    *("one file", "a folder left out", "git's files too"),
]


@pytest.mark.parametrize("name", SIGNED)
def test_what_the_reference_tool_signs_verifies_here(name: str, signed: dict[str, Case]) -> None:
    verdict = signed[name].ours()
    assert verdict.outcome == "verified", [check.detail for check in verdict.checks]
    left_out = {
        "one file": (),
        "git's files too": (),
        "a folder left out": (".gitattributes", "d-x/c"),
        **dict.fromkeys([name for name in SIGNED if name.startswith("shards")], (".gitattributes", "d/b")),
    }
    assert verdict.ignored == left_out.get(name, (".gitattributes",))
    assert verdict.files + len(verdict.ignored) == (1 if name == "one file" else len(FILES))


@pytest.mark.parametrize("name", SIGNED)
def test_one_changed_bit_of_what_it_signed_is_noticed_here(name: str, signed: dict[str, Case]) -> None:
    case = signed[name]
    weights = case.model if case.model.is_file() else case.model / "model.safetensors"
    sound = weights.read_bytes()
    changed = bytearray(sound)
    changed[1234] ^= 1
    weights.write_bytes(changed)
    try:
        verdict = case.ours()
    finally:
        weights.write_bytes(sound)
    assert [check.id for check in verdict.checks if check.outcome == "FAIL"] == ["files"]
    detail = verdict.checks[3].detail
    assert name == "one file" or "model.safetensors" in detail
    if name == "shards sha256 100":
        assert "bytes 1,200 to 1,300 are not the signed ones" in detail


# ---- what mbom's side signs ----


def test_what_we_sign_verifies_there(tmp_path: Path) -> None:
    cases = []
    for curve, kind in CURVES.items():
        folder = tmp_path / curve
        model = lay(folder / "tiny")
        key = ec.generate_private_key(kind)
        statement = oms.build("tiny", [(name, sha256(content)) for name, content in FILES.items()])
        signer = LocalSigner(key)
        (folder / "key.pub").write_bytes(signer.public_key.pem)
        (folder / "key.sig").write_bytes(signer.sign_statement(statement))
        cases.append(Case(model=model, signature=folder / "key.sig", key=folder / "key.pub"))
        holder = issue("Release", under=BETWEEN, extensions=SIGNING, key=key)
        holder.write(folder)
        (folder / "certificate.sig").write_bytes(signed_under(statement, holder))
        cases.append(Case(model=model, signature=folder / "certificate.sig", key=None, root=folder / "root.pem"))
    for case, answer in zip(cases, ask([case.theirs() for case in cases]), strict=True):
        assert answer.accepted, answer.said
        assert case.ours().outcome == "verified"


# ---- where the two differ, and where they refuse together ----


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A model in a folder of its own, with a key and a certificate to sign it."""

    folder: Path
    signer: LocalSigner

    @property
    def model(self) -> Path:
        return self.folder / "tiny"

    def statement(self, **changes: Any) -> dict[str, Any]:
        """The statement about the model as it should be, with other members of the predicate."""
        statement = oms.build("tiny", [(name, sha256(content)) for name, content in FILES.items()])
        value: dict[str, Any] = json.loads(statement)
        value["predicate"] |= changes
        listed = b"".join(bytes.fromhex(item["digest"]) for item in value["predicate"]["resources"])
        value["subject"][0]["digest"]["sha256"] = hashlib.sha256(listed).hexdigest()
        return value

    def by_key(self, statement: dict[str, Any] | str | None = None, **bundle: Any) -> Case:
        text = statement if isinstance(statement, str) else json.dumps(statement or self.statement())
        signed: dict[str, Any] = json.loads(self.signer.sign_statement(text.encode()))
        return self.written(json.dumps(signed | bundle))

    def written(self, bundle: str) -> Case:
        (self.folder / "model.sig").write_text(bundle)
        (self.folder / "key.pub").write_bytes(self.signer.public_key.pem)
        return Case(model=self.model, signature=self.folder / "model.sig", key=self.folder / "key.pub")

    def by(self, holder: Holder) -> Case:
        (self.folder / "model.sig").write_bytes(signed_under(json.dumps(self.statement()).encode(), holder))
        (self.folder / "root.pem").write_bytes(ROOT.pem)
        return Case(model=self.model, signature=self.folder / "model.sig", key=None, root=self.folder / "root.pem")

    def resources(self, *more: dict[str, Any], without: str = "") -> dict[str, Any]:
        listed = [item for item in self.statement()["predicate"]["resources"] if item["name"] != without]
        return self.statement(resources=[*listed, *more])

    def ignoring(self, *paths: str, without: str = "") -> dict[str, Any]:
        how = {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": list(paths)}
        return self.statement(**self.resources(without=without)["predicate"] | {"serialization": how})


def leaf(*extensions: Any, under: Holder = BETWEEN, **changes: Any) -> Holder:
    return issue("Release", under=under, extensions=extensions or SIGNING, **changes)


def resource(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "digest": sha256(content), "algorithm": "sha256"}


def garbage_second(bench: Bench) -> Case:
    signed = json.loads(bench.signer.sign_statement(json.dumps(bench.statement()).encode()))
    signed["dsseEnvelope"]["signatures"].append({"sig": "AAAA", "keyid": ""})
    return bench.written(json.dumps(signed))


def legacy(bench: Bench) -> Case:
    subjects = [
        {"name": name, "digest": {"sha256": sha256(content)}, "annotations": {"actual_hash_algorithm": "file-sha256"}}
        for name, content in FILES.items()
        if not oms.is_left_out(name)
    ]
    value = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subjects,
        "predicateType": LEGACY_PREDICATE_TYPE,
        "predicate": {"unused": "Unused, just passed due to API requirements"},
    }
    return bench.by_key(value)


def empty(bench: Bench) -> Case:
    for path in sorted(bench.model.rglob("*"), reverse=True):
        if path.is_file() and path.name != ".gitattributes":
            path.unlink()
    return bench.by_key(bench.statement(resources=[]))


def unsigned_weights(bench: Bench) -> Case:
    """The weights were left out when the model was signed, and whoever came later could put any there."""
    (bench.model / "model.safetensors").write_bytes(b"another model")
    return bench.by_key(bench.ignoring("model.safetensors", without="model.safetensors"))


def weights_where_git_lives(bench: Bench) -> Case:
    (bench.model / ".github").mkdir()
    (bench.model / ".github" / "model.safetensors").write_bytes(b"another model")
    return bench.by_key()


def code_left_out(bench: Bench) -> Case:
    (bench.model / "extra").mkdir()
    (bench.model / "extra" / "modeling.py").write_bytes(b"import os")
    return bench.by_key(bench.ignoring("extra"))


def everything_left_out(bench: Bench) -> Case:
    lay(bench.model, {"modeling.py": b"import os"})
    statement = bench.ignoring(".")
    statement["predicate"]["resources"] = []
    statement["subject"][0]["digest"]["sha256"] = sha256(b"")
    return bench.by_key(statement)


def alike_but_for_case(bench: Bench) -> Case:
    lay(bench.model, {"CONFIG.json": b"{}"})
    return bench.by_key(bench.resources(resource("CONFIG.json", b"{}")))


def reordering_name(bench: Bench) -> Case:
    lay(bench.model, {"model.\u202esrotcafes": b""})
    return bench.by_key(bench.resources(resource("model.\u202esrotcafes", b"")))


def doubled_member(bench: Bench) -> Case:
    """Two lists of files in one statement: which of them counts depends on the reader."""
    sound = json.dumps(bench.statement())
    return bench.by_key(sound.replace('"predicate": {', '"predicate": {"resources": [], ', 1))


def missing(bench: Bench) -> Case:
    (bench.model / "config.json").unlink()
    return bench.by_key()


def link(bench: Bench) -> Case:
    (bench.model / "link.json").symlink_to("config.json")
    return bench.by_key()


# What the reference tool accepts, and the step at which mbom refuses it.
STRICTER: dict[str, tuple[Callable[[Bench], Case], str, str]] = {
    "a certificate that has expired": (lambda b: b.by(leaf(days=(-30, -1))), "signature", "expired on"),
    "a certificate that is not yet valid": (lambda b: b.by(leaf(days=(1, 20))), "signature", "not valid before"),
    "a certificate for somebody else": (
        lambda b: b.by(leaf(*SIGNING[:2], alternative(x509.RFC822Name("mallory@example.com")))),
        "signature",
        "is for 'mallory@example.com'",
    ),
    "a certificate for servers": (
        lambda b: b.by(leaf(SIGNING[0], purposes(ExtendedKeyUsageOID.SERVER_AUTH), SIGNING[2])),
        "signature",
        "not for code signing",
    ),
    "a certificate without a key usage": (
        lambda b: b.by(leaf(CODE_SIGNING, SIGNING[2])),
        "signature",
        "not for digital signatures",
    ),
    "an authority's certificate": (
        lambda b: b.by(leaf(usage("digital_signature", "key_cert_sign"), *SIGNING[1:], constraints(ca=True))),
        "signature",
        "an authority's",
    ),
    "a second signature of garbage": (garbage_second, "bundle", "2 signatures, exactly one is allowed"),
    "the deprecated predicate of version 0.2": (legacy, "bundle", "--allow-legacy"),
    "an empty manifest of an empty model": (empty, "manifest", "names no file"),
    "a name twice": (
        lambda b: b.by_key(b.resources(resource("config.json", b"{}"))),
        "manifest",
        "'config.json' occurs twice",
    ),
    "a name twice, with two digests": (
        lambda b: b.by_key(
            b.statement(resources=[resource("config.json", b"[]"), *b.statement()["predicate"]["resources"]])
        ),
        "manifest",
        "'config.json' occurs twice",
    ),
    "a name that is not canonical": (
        lambda b: b.by_key(b.resources(resource("./config.json", b"{}"), without="config.json")),
        "manifest",
        "'./config.json' is not a plain relative path",
    ),
    "names that differ in case alone": (alike_but_for_case, "manifest", "are one file on file systems that fold case"),
    "a name that reorders what is shown": (reordering_name, "manifest", "control, formatting or undecodable"),
    "a digest in upper case": (
        lambda b: b.by_key(
            b.resources(
                {"name": "config.json", "digest": sha256(b"{}").upper(), "algorithm": "sha256"}, without="config.json"
            )
        ),
        "manifest",
        "lower-case hex",
    ),
    "an unknown member of the predicate": (
        lambda b: b.by_key(b.statement(policy="none")),
        "manifest",
        "unknown member 'policy'",
    ),
    "a member twice in the statement": (doubled_member, "bundle", "'resources' occurs twice"),
    "a member twice in the bundle": (
        lambda b: b.written(
            '{"dsseEnvelope": {}, '
            + json.dumps(json.loads(b.signer.sign_statement(json.dumps(b.statement()).encode())))[1:]
        ),
        "bundle",
        "'dsseEnvelope' occurs twice",
    ),
    "weights left out": (unsigned_weights, "ignored", "model.safetensors is not covered by the signature"),
    "weights where git's files are": (weights_where_git_lives, "ignored", ".github/model.safetensors is not covered"),
    "code left out": (code_left_out, "ignored", "extra/modeling.py is not covered"),
    "everything left out": (everything_left_out, "manifest", "the ignored path '.'"),
}

# What both refuse.
BOTH: dict[str, Callable[[Bench], Case]] = {
    "a changed file": lambda b: (lay(b.model, {"config.json": b"[]"}), b.by_key())[1],
    "an extra file": lambda b: (lay(b.model, {"model-2.safetensors": b""}), b.by_key())[1],
    "a missing file": missing,
    "a link": link,
    "another root": lambda b: b.by(issue("Release", under=issue("Example Root"), extensions=SIGNING)),
    "a key that nobody trusts": lambda b: b.by_key(
        **json.loads(LocalSigner(ec.generate_private_key(ec.SECP256R1())).sign_statement(b"{}"))
    ),
    "a changed statement": lambda b: b.by_key(
        dsseEnvelope=json.loads(b.signer.sign_statement(b"{}"))["dsseEnvelope"]
        | {"payload": base64.b64encode(json.dumps(b.statement()).encode()).decode()}
    ),
    "a subject that does not follow": lambda b: b.by_key(
        b.statement() | {"subject": [{"name": "tiny", "digest": {"sha256": "00" * 32}}]}
    ),
    "two subjects": lambda b: b.by_key(b.statement() | {"subject": b.statement()["subject"] * 2}),
    "another payload type": lambda b: b.by_key(
        dsseEnvelope=json.loads(b.signer.sign_statement(json.dumps(b.statement()).encode()))["dsseEnvelope"]
        | {"payloadType": "text/plain"}
    ),
    "another statement type": lambda b: b.by_key(b.statement() | {"_type": "https://in-toto.io/Statement/v0.1"}),
    "another predicate": lambda b: b.by_key(b.statement() | {"predicateType": "https://slsa.dev/provenance/v1"}),
    "another media type": lambda b: b.by_key(mediaType="application/vnd.dev.sigstore.bundle.v0.4+json"),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[SignatureVerdict, Answer]]:
    """What each of the two says about every case of the tables."""
    root = tmp_path_factory.mktemp("judged")
    generate(root / "key.pem")
    signer = LocalSigner.load(root / "key.pem")
    cases: dict[str, Case] = {}
    for number, (name, make) in enumerate({**{name: row[0] for name, row in STRICTER.items()}, **BOTH}.items()):
        folder = root / str(number)
        lay(folder / "tiny")
        cases[name] = make(Bench(folder=folder, signer=signer))
    answers = ask([case.theirs() for case in cases.values()])
    return {name: (case.ours(), answer) for (name, case), answer in zip(cases.items(), answers, strict=True)}


@pytest.mark.parametrize("name", STRICTER)
def test_what_the_reference_tool_accepts_and_mbom_refuses(
    name: str, judged: dict[str, tuple[SignatureVerdict, Answer]]
) -> None:
    verdict, answer = judged[name]
    assert answer.accepted, answer.said
    _, step, said = STRICTER[name]
    assert verdict.outcome == "refused"
    failed = next(check for check in verdict.checks if check.outcome == "FAIL")
    assert failed.id == step
    assert said in failed.detail


@pytest.mark.parametrize("name", BOTH)
def test_what_both_refuse(name: str, judged: dict[str, tuple[SignatureVerdict, Answer]]) -> None:
    verdict, answer = judged[name]
    assert not answer.accepted
    assert answer.status == 1
    # A link ends the listing: what cannot be looked at is not refused, and not verified either.
    assert verdict.outcome == ("incomplete" if name == "a link" else "refused")
