"""Reading and verifying the bundle of one model, and holding it against what the lock file says of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from mbom import bundle
from mbom.dossier import Dossier, read_bundle
from mbom.engine import Measure
from mbom.errors import FormatError, StorageError
from mbom.gate.history import LFS_POINTER
from mbom.gate.reasons import reason
from mbom.lockfile import Entry
from mbom.lockfile.locking import facts_of
from mbom.policy.decision import Reason
from mbom.signing import Signatory, Verifier
from mbom.source import Source
from mbom.verdict import Verdict
from mbom.verify import verify

ATTEST_AGAIN = "Attest the model again, and lock that bundle."
RELOCK = (
    "Lock it again from the bundle you mean: `mbom lock update {name} BUNDLE`; if nobody here changed it, ask who did."
)


@dataclass(frozen=True, kw_only=True)
class Trusted:
    """Somebody whose signature of a model counts.

    Attributes:
        verifier: checks it.
        logged: whether what verifies has an entry in a transparency log.
        timed: whether somebody vouches for the time of what verifies.
    """

    verifier: Verifier
    logged: bool
    timed: bool


@dataclass(frozen=True, kw_only=True)
class AtHand:
    """The files of a model on this machine, and what measures them again; None where nobody asks for that."""

    checkpoint: Source
    measure: Measure | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a bundle came to.

    Attributes:
        dossier: what it says; None where it cannot be read.
        verdict: of its verification; None where nobody is trusted, or it cannot be read.
        by: under whom its signature holds; None where it does not.
        seen: by when the signature was there; None where nobody vouches for that.
        reasons: what speaks against it, whatever the policy says.
        could_not_check: why a question is open; None where none is.
    """

    dossier: Dossier | None = None
    verdict: Verdict | None = None
    by: Trusted | None = None
    seen: datetime | None = None
    reasons: tuple[Reason, ...] = ()
    could_not_check: str | None = None


def examine(path: Path, *, label: str, trusted: Sequence[Trusted], at_hand: AtHand | None = None) -> Evidence:
    """Read a bundle, and verify it under whoever is trusted; the first who verifies it counts.

    Args:
        path: a folder or a ``.zip``.
        label: how reports name it.
        trusted: verifiers, any one of which suffices; without any, nothing is verified.
        at_hand: what should be its files, to be held against it.

    Raises:
        AccessError: when the source of those wants another identity.
    """
    try:
        dossier = replace(read_bundle(path), label=label)
    except FormatError as error:
        told = str(error).replace(str(path), label)
        return Evidence(reasons=(reason("bundle-malformed", told, ATTEST_AGAIN),))
    except StorageError as error:
        return Evidence(could_not_check=str(error).replace(str(path), label))
    if not trusted:
        return Evidence(dossier=dossier)
    tried = [(one, verify(path, verifier=one.verifier)) for one in trusted]
    by, verdict = min(tried, key=lambda item: ("verified", "incomplete", "refused").index(item[1].outcome))
    if at_hand is not None:  # once it is known whose it is: hashing and measuring take long
        verdict = verify(path, verifier=by.verifier, checkpoint=at_hand.checkpoint, measure=at_hand.measure)
    return _judged(dossier, by, verdict, path, label)


def _judged(dossier: Dossier, by: Trusted, verdict: Verdict, path: Path, label: str) -> Evidence:
    if verdict.bundle_digest not in (None, dossier.bundle_digest):
        return Evidence(could_not_check=f"{label} changed while it was checked; try again")
    failed = tuple(
        reason(
            "verification-failed",
            f"the verification of {label} failed: {check.id}: {check.detail.replace(str(path), label)}",
            f"Do not use it. `mbom verify {label}` shows every step; ask the signer for a bundle that holds.",
        )
        for check in verdict.checks
        if check.outcome == "FAIL"
    )
    holds = any(check.id == "signature" and check.outcome == "PASS" for check in verdict.checks)
    unclear = next((check for check in verdict.checks if check.outcome == "SKIP" and check.asked), None)
    return Evidence(
        dossier=dossier,
        verdict=verdict,
        by=by if holds else None,
        seen=verdict.seen,
        reasons=failed,
        could_not_check=f"{label}: {unclear.id}: {unclear.detail}" if unclear is not None and not failed else None,
    )


def locked(entry: Entry, path: Path, *, trusted: Sequence[Trusted], at_hand: AtHand | None = None) -> Evidence:
    """Examine the bundle of an entry, and refuse it where the lock file says something else of it."""
    found = examine(path, label=entry.bundle, trusted=trusted, at_hand=at_hand)
    if found.dossier is None or found.dossier.bundle_digest != entry.bundle_digest:
        pointer = pointed(path)
        if pointer is not None:
            return Evidence(could_not_check=pointer)
    if found.dossier is None:
        return found
    signer = found.verdict.signer if found.verdict is not None else None
    try:
        differing = tuple(_differences(entry, found.dossier, signer))
    except FormatError as error:  # what it says could not even stand in a lock file
        differing = (reason("bundle-malformed", f"{entry.bundle}: {error}", ATTEST_AGAIN),)
    return replace(found, reasons=(*differing, *found.reasons))


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


def _differences(entry: Entry, dossier: Dossier, signer: Signatory | None) -> Iterator[Reason]:
    relock = RELOCK.format(name=entry.name)
    if dossier.bundle_digest != entry.bundle_digest:
        sentence = f"the bundle at {entry.bundle} has the digest {dossier.bundle_digest}, locked {entry.bundle_digest}"
        yield reason("lock-digest-differs", sentence, relock)
    found = facts_of(dossier)
    if found.digest != entry.digest:
        yield reason("lock-model-differs", f"the bundle is of the model {found.digest}, locked {entry.digest}", relock)
    if (found.repo, found.revision) != (entry.repo, entry.revision):
        told = f"{found.repo}@{found.revision}" if found.repo is not None else "a folder"
        yield reason("lock-revision-differs", f"the bundle is of {told}, locked {entry.source}", relock)
    if signer is not None and signer != entry.signer:
        yield reason("lock-signer-differs", f"the bundle is signed by {signer}, locked {entry.signer}", relock)
    for what, there, written in (
        ("licences", found.licence, entry.licence),
        ("restrictions", found.restrictions, entry.restrictions),
    ):
        if there != written:
            sentence = f"the {what} are {_listed(there)} as the BOM says, locked {_listed(written)}"
            yield reason("lock-licence-differs", sentence, relock)


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items) or "none"
