"""The statement in ``model.sig``: OpenSSF Model Signing v1.0, method ``files``, hash ``sha256``.

Source: https://github.com/ossf/model-signing-spec (spec/v1.0.md), and PyPI ``model-signing``. The subject's digest is
over the listed digests alone and binds no names; the signature over the statement does.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from mbom.errors import FormatError
from mbom.signing import statement
from mbom.signing.statement import Statement, Subject
from mbom.strictjson import Fields, Json

PREDICATE_TYPE = "https://model_signing/signature/v1.0"

# What the reference tool leaves out by default, at the top of the folder alone. A signature that covers one of them
# fails there as a missing file, and every hub repository has a .gitattributes.
LEFT_OUT = (".git", ".gitattributes", ".github", ".gitignore")


@dataclass(frozen=True, kw_only=True)
class OmsManifest:
    """What ``model.sig`` says: the model's name, its files in listed order, and the paths that it says nothing about.

    A path in ``ignored`` stands for itself and everything below it.
    """

    model: str
    resources: tuple[Subject, ...]
    ignored: tuple[str, ...]


def is_left_out(name: str) -> bool:
    """Tell whether ``model.sig`` leaves out the file ``name``, a path with forward slashes below the model's folder."""
    return name.partition("/")[0] in LEFT_OUT


def build(model: str, files: Sequence[tuple[str, str]]) -> bytes:
    """Return the statement about ``files``, pairs of a name and a SHA-256 in hex; the order given does not matter.

    Raises:
        FormatError: when nothing is left to sign, or a name or digest is malformed or doubled.
    """
    resources = [Subject(name=name, sha256=digest) for name, digest in sorted(files) if not is_left_out(name)]
    _check_resources(resources, what="model.sig")
    predicate: dict[str, Json] = {
        "resources": [{"name": item.name, "digest": item.sha256, "algorithm": "sha256"} for item in resources],
        "serialization": {
            "method": "files",
            "hash_type": "sha256",
            "allow_symlinks": False,
            "ignore_paths": list(LEFT_OUT),
        },
    }
    return statement.build([(model, _root(resources))], PREDICATE_TYPE, predicate)


def interpret(signed: Statement, *, what: str) -> OmsManifest:
    """Read the predicate of a verified statement.

    Resources may come in the order of the specification (by code point of the name) or in that of the reference tool
    (by path component), which verifies in listed order.

    Raises:
        FormatError: on anything malformed, unknown, doubled, out of order or empty, on another method or hash, and
            when the subject's digest does not follow from the resources.
    """
    if len(signed.subjects) != 1:
        raise FormatError(f"{what}: {len(signed.subjects)} subjects, exactly one is allowed")
    predicate = Fields(signed.predicate, f"{what}: predicate")
    resources = []
    for item in predicate.objects("resources"):
        item.constant("algorithm", "sha256")
        resources.append(Subject(name=item.text("name"), sha256=item.sha256("digest")))
        item.end()
    ignored = _serialization(predicate.object("serialization"))
    predicate.end()
    _check_resources(resources, what=what)
    names = [item.name for item in resources]
    if names not in (sorted(names), sorted(names, key=lambda name: name.split("/"))):
        raise FormatError(f"{what}: the files are not sorted by name")
    subject = signed.subjects[0]
    if subject.sha256 != _root(resources):
        raise FormatError(f"{what}: the digest of the model does not follow from those of its files")
    return OmsManifest(model=subject.name, resources=tuple(resources), ignored=ignored)


def _serialization(fields: Fields) -> tuple[str, ...]:
    fields.constant("method", "files")
    fields.constant("hash_type", "sha256")
    # True says that the signer read files through links; the digests are of the files all the same.
    fields.boolean("allow_symlinks")
    ignored = fields.texts("ignore_paths") if fields.has("ignore_paths") else ()
    fields.end()
    return ignored


def _check_resources(resources: Sequence[Subject], *, what: str) -> None:
    """Refuse what subjects may not be, and names that a verifier could fold together or read outside the folder."""
    statement.check_subjects(resources, what=what)
    for item in resources:
        if any(part in ("", ".", "..") for part in item.name.split("/")):
            raise FormatError(f"{what}: {item.name!r} is not a plain path below the model's folder")


def _root(resources: Sequence[Subject]) -> str:
    return hashlib.sha256(b"".join(bytes.fromhex(item.sha256) for item in resources)).hexdigest()
