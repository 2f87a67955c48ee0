"""Is everything that a lock file names there, and as it was locked?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from mbom.dossier import Dossier, read_bundle
from mbom.errors import RefusedError, UnavailableError
from mbom.inventory import ScanProgress, scan
from mbom.lockfile.entry import Entry, located
from mbom.lockfile.locking import LockedFacts, facts_of
from mbom.signing import Verifier
from mbom.source import Source
from mbom.strictjson import Json
from mbom.verdict import Check, Checked
from mbom.verify import verify

SCHEMA = "urn:mbom:lock-check:v1"

# In this order for every model; public.
CHECKS = ("bundle", "facts", "signature", "files")
NAMED = 3  # files that a detail spells out


@dataclass(frozen=True, kw_only=True)
class Checkup(Checked):
    """What was found of one entry: the checks of ``CHECKS``."""

    entry: Entry

    def to_dict(self) -> dict[str, Json]:
        """Return the checks as JSON."""
        return {
            "name": self.entry.name,
            "repo": self.entry.repo,
            "revision": self.entry.revision,
            "digest": self.entry.digest,
            "outcome": self.outcome,
            "checks": [check.to_dict() for check in self.checks],
        }


def exit_code(checkups: Sequence[Checkup]) -> int:
    """Return the exit status: 1 where an entry is not as locked, 3 where one could not be checked; nothing is not 0."""
    outcomes = {checkup.outcome for checkup in checkups}
    return 1 if "refused" in outcomes else 3 if "incomplete" in outcomes or not checkups else 0


def check(
    entries: Sequence[Entry],
    folder: Path,
    *,
    verifier: Verifier | None,
    checkpoints: Mapping[str, Source],
    on_scan: Callable[[ScanProgress], None] | None = None,
) -> tuple[Checkup, ...]:
    """Hold entries against their bundles, and checkpoints against those.

    Args:
        entries: of the lock file.
        folder: its folder.
        verifier: whom the caller trusts; None leaves signatures unchecked. An entry's digest of its bundle then is what
            speaks for it: the bundle is the one that was verified when the entry was written, if the lock file can be
            trusted.
        checkpoints: by the name of the model, what should be its files.
        on_scan: called while those are read.

    Raises:
        AccessError: when a checkpoint's source wants another identity.
    """
    return tuple(_Checkup(entry, folder, verifier, checkpoints.get(entry.name), on_scan).run() for entry in entries)


class _Checkup:
    """The checks of one entry: each is a method, and hands on what it has vouched for."""

    def __init__(
        self,
        entry: Entry,
        folder: Path,
        verifier: Verifier | None,
        checkpoint: Source | None,
        on_scan: Callable[[ScanProgress], None] | None,
    ) -> None:
        self.entry = entry
        self.folder = folder
        self.verifier = verifier
        self.checkpoint = checkpoint
        self.on_scan = on_scan
        self.dossier: Dossier | None = None  # of a bundle whose digest is the locked one
        self.path: Path | None = None

    def run(self) -> Checkup:
        looks = (self.bundle, self.facts, self.signature, self.files)
        return Checkup(
            entry=self.entry, checks=tuple(_run(name, look) for name, look in zip(CHECKS, looks, strict=True))
        )

    def bundle(self) -> Check:
        """It lies where the entry says, and is the very one that was verified."""
        path = located(self.entry, self.folder)
        dossier = read_bundle(path)
        if dossier.bundle_digest != self.entry.bundle_digest:
            raise RefusedError(
                f"{self.entry.bundle} is the bundle {dossier.bundle_digest}, locked was {self.entry.bundle_digest}"
            )
        self.path, self.dossier = path, dossier
        return Check(id="bundle", outcome="PASS", detail=f"{self.entry.bundle} is the locked one")

    def facts(self) -> Check:
        """What the entry repeats of the bundle is what the bundle says."""
        if self.dossier is None:
            return _unread("facts")
        found = facts_of(self.dossier)
        for item in fields(LockedFacts):
            there, locked = getattr(found, item.name), getattr(self.entry, item.name)
            if there != locked:
                raise RefusedError(f"the bundle's {item.name} is {_told(there)}, locked was {_told(locked)}")
        return Check(id="facts", outcome="PASS", detail="model, source, licence and restrictions as the bundle says")

    def signature(self) -> Check:
        """The bundle verifies under the given trust, and is by the signer that was locked."""
        if self.verifier is None:
            detail = f"no signer was given; locked was {self.entry.signer}"
            return Check(id="signature", outcome="SKIP", detail=detail, asked=False)
        if self.dossier is None or self.path is None:
            return _unread("signature")
        verdict = verify(self.path, verifier=self.verifier)
        if verdict.outcome == "incomplete":
            skipped = next(item for item in verdict.checks if item.outcome == "SKIP" and item.asked)
            return Check(id="signature", outcome="SKIP", detail=f"{skipped.id}: {skipped.detail}")
        if verdict.outcome == "refused":
            failed = next(item for item in verdict.checks if item.outcome == "FAIL")
            raise RefusedError(f"{failed.id}: {failed.detail}")
        if verdict.bundle_digest != self.entry.bundle_digest:
            raise RefusedError(f"{self.entry.bundle} changed while it was checked")
        if verdict.signer != self.entry.signer:
            raise RefusedError(f"signed by {verdict.signer}, locked was {self.entry.signer}")
        return Check(id="signature", outcome="PASS", detail=f"verified: {verdict.signer}")

    def files(self) -> Check:
        """The checkpoint holds the files of the bundle's inventory, and no others but weight sets left out."""
        if self.checkpoint is None:
            return Check(id="files", outcome="SKIP", detail="no checkpoint was given", asked=False)
        if self.dossier is None:
            return _unread("files")
        inventory = self.dossier.inventory
        locked = {file.name: file.sha256 for file in inventory.files}
        left_out = {file.name: file.sha256 for file in inventory.declared if file.sha256 is not None}
        scanned = scan(self.checkpoint, progress=self.on_scan).inventory
        found = {file.name: file.sha256 for file in scanned.files if left_out.get(file.name) != file.sha256}
        differing = sorted(name for name in locked.keys() | found.keys() if locked.get(name) != found.get(name))
        if differing:
            more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
            raise RefusedError(f"not the locked files: {', '.join(differing[:NAMED])}{more}")
        return Check(id="files", outcome="PASS", detail=f"{len(locked):,} files, every digest as locked")


def _unread(name: str) -> Check:
    return Check(id=name, outcome="SKIP", detail="the bundle is not the locked one, or could not be read")


def _told(value: object) -> str:
    return (", ".join(value) or "none") if isinstance(value, tuple) else str(value or "none")


def _run(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except RefusedError as error:
        return Check(id=name, outcome="FAIL", detail=str(error))
    except UnavailableError as error:
        return Check(id=name, outcome="SKIP", detail=f"could not be checked: {error}")
