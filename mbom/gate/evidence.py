"""Reading and verifying the bundle of one model, and holding it against what the lock file says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mbom import bundle
from mbom.attestation import PREDICATE_TYPE
from mbom.dossier import Dossier, read_bundle
from mbom.errors import FormatError, StorageError
from mbom.gate.history import LFS_POINTER
from mbom.gate.reasons import reason
from mbom.lockfile import Entry
from mbom.policy.decision import Reason
from mbom.signing import Signatory, Verifier
from mbom.verdict import Verdict
from mbom.verify import verify

RELOCK = "Lock it again from the bundle that you mean: `mbom lock update {name}`; if nobody here changed it, ask who did."


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a bundle came to.

    Attributes:
        dossier: what it says; None where it cannot be read.
        verdict: of its verification; None where nobody is trusted, or it cannot be read.
        signatory: whose signature was verified, and ``signer`` the same in the words of the verifier.
        reasons: what speaks against it, whatever the policy says.
        could_not_check: why a question is open; None where none is.
    """

    dossier: Dossier | None = None
    verdict: Verdict | None = None
    signatory: Signatory | None = None
    signer: str | None = None
    reasons: tuple[Reason, ...] = ()
    could_not_check: str | None = None


def examine(path: Path, *, label: str, trusted: Sequence[Verifier]) -> Evidence:
    """Read a bundle, and verify it under whoever is trusted; the first who verifies it counts.

    Args:
        path: a folder or a ``.zip``.
        label: how reports name it.
        trusted: verifiers, any one of which suffices; without any, nothing is verified.
    """
    try:
        dossier = replace(read_bundle(path), label=label)
    except FormatError as error:
        told = str(error).replace(str(path), label)
        return Evidence(reasons=(reason("bundle-malformed", told, "Attest the model again, and lock that bundle."),))
    except StorageError as error:
        return Evidence(could_not_check=str(error).replace(str(path), label))
    if not trusted:
        return Evidence(dossier=dossier)
    tried = [(verifier, verify(path, verifier=verifier)) for verifier in trusted]
    verifier, verdict = min(tried, key=lambda item: ("verified", "incomplete", "refused").index(item[1].outcome))
    return _judged(dossier, verifier, verdict, path, label)


def _judged(dossier: Dossier, verifier: Verifier, verdict: Verdict, path: Path, label: str) -> Evidence:
    outcomes = {check.id: check for check in verdict.checks}
    signatory, signer = None, None
    if outcomes["signature"].outcome == "PASS":
        signed = verifier.verify_statement(bundle.read(path)[bundle.ATTESTATION], predicate_type=PREDICATE_TYPE)
        signatory, signer = Signatory.of(signed, verifier), outcomes["signature"].detail
    failed = tuple(
        reason(
            "verification-failed",
            f"the verification of {label} failed: {check.id}: {check.detail.replace(str(path), label)}",
            f"Do not use it. `mbom verify {label}` shows every step; ask the signer for a bundle that holds.",
        )
        for check in verdict.checks
        if check.outcome == "FAIL"
    )
    open_ = next((check for check in verdict.checks if check.outcome == "SKIP" and check.asked), None)
    return Evidence(
        dossier=dossier,
        verdict=verdict,
        signatory=signatory,
        signer=signer,
        reasons=failed,
        could_not_check=f"{label}: {open_.id}: {open_.detail}" if open_ is not None and not failed else None,
    )


def locked(entry: Entry, path: Path, *, trusted: Sequence[Verifier]) -> Evidence:
    """Examine the bundle of an entry, and refuse it where the lock file says something else of it."""
    found = examine(path, label=entry.bundle, trusted=trusted)
    if found.dossier is None or found.dossier.bundle_digest != entry.bundle_digest:
        pointer = pointed(path)
        if pointer is not None:
            return Evidence(could_not_check=pointer)
    if found.dossier is None:
        return found
    return replace(found, reasons=(*_differences(entry, found.dossier, found.signatory), *found.reasons))


def pointed(path: Path) -> str | None:
    """Return why a bundle cannot be read where Git LFS has not fetched it; None where that is not so."""
    try:
        members = bundle.read(path)
    except (FormatError, StorageError):
        return None
    held = next((name for name, data in sorted(members.items()) if data.startswith(LFS_POINTER)), None)
    if held is None:
        return None
    return f"{held} of the bundle is a pointer of Git LFS; fetch it: `git lfs pull`, or give actions/checkout lfs: true"


def _differences(entry: Entry, dossier: Dossier, signatory: Signatory | None) -> Iterator[Reason]:
    relock = RELOCK.format(name=entry.name)
    inventory, described = dossier.inventory, dossier.described
    if dossier.bundle_digest != entry.bundle_digest:
        sentence = f"the bundle at {entry.bundle} has the digest {dossier.bundle_digest}, locked {entry.bundle_digest}"
        yield reason("lock-digest-differs", sentence, relock)
    if inventory.digest != entry.digest:
        sentence = f"the bundle is of the model {inventory.digest}, locked {entry.digest}"
        yield reason("lock-model-differs", sentence, relock)
    origin = inventory.origin
    if (origin.repo, origin.revision) != (entry.repo, entry.revision):
        found = f"{origin.repo}@{origin.revision}" if origin.repo is not None else f"the folder {origin.name}"
        yield reason("lock-revision-differs", f"the bundle is of {found}, locked {entry.source}", relock)
    if signatory is not None and signatory != entry.signer:
        sentence = f"the bundle is signed by {signatory}, locked {entry.signer}"
        yield reason("lock-signer-differs", sentence, relock)
    licences = tuple(sorted(set(described.licences_declared)))
    if licences != entry.licence:
        sentence = f"the BOM declares {_listed(licences)}, locked {_listed(entry.licence)}"
        yield reason("lock-licence-differs", sentence, relock)
    restrictions = tuple(sorted({restriction.kind for restriction in described.restrictions}))
    if restrictions != entry.restrictions:
        sentence = f"the BOM states the restrictions {_listed(restrictions)}, locked {_listed(entry.restrictions)}"
        yield reason("lock-licence-differs", sentence, relock)


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items) or "none"
