"""Putting a verified bundle into a lock file."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from mbom.dossier import Dossier, read_bundle
from mbom.errors import ChangedError, FormatError, RefusedError, UsageError
from mbom.lockfile.changes import LockChange, changes
from mbom.lockfile.entry import LIST_LIMIT, TEXT_LIMIT, Entry, is_model_name
from mbom.lockfile.lock import Lock
from mbom.printable import printable
from mbom.source import is_repo
from mbom.source.names import check_name
from mbom.verdict import Verdict


def entry_of(bundle: Path, verdict: Verdict, *, name: str | None, folder: Path, today: date) -> Entry:
    """Return the entry of a bundle that has been verified.

    Args:
        bundle: where it lies.
        verdict: of these very bytes, and ``verified``.
        name: what to call the model; None for the repository that it is from.
        folder: the folder of the lock file.
        today: the day of the verification in UTC.

    Raises:
        UsageError: when the bundle lies outside ``folder``, or the name is none that this model can have.
        ChangedError: when the bundle is another one than was verified.
        FormatError: when something in it cannot stand in a lock file.
    """
    if verdict.outcome != "verified" or verdict.signer is None:
        raise RefusedError(f"{bundle}: {verdict.outcome}; only a verified bundle is locked")
    place = _place(bundle, folder)
    dossier = read_bundle(bundle)
    if dossier.bundle_digest is None or dossier.bundle_digest != verdict.bundle_digest:
        raise ChangedError(f"{bundle}: not the bundle any more that was verified; stop whatever writes there")
    facts = facts_of(dossier)
    return Entry(
        name=_name(name, dossier),
        repo=facts.repo,
        revision=facts.revision,
        digest=facts.digest,
        bundle=place,
        bundle_digest=dossier.bundle_digest,
        signer=verdict.signer,
        licence=facts.licence,
        restrictions=facts.restrictions,
        checked=verdict.passed,
        date=today,
    )


def put(lock: Lock, entry: Entry, *, force_same_revision: bool) -> Lock:
    """Return a lock that holds an entry, in place of one of that name.

    Raises:
        RefusedError: when the lock holds the same commit with other files, unless that is forced.
    """
    held = lock.with_entry(entry)
    for change in changes(lock, held):
        if "changed-in-place" in change.kinds and not force_same_revision:
            raise RefusedError(_changed_in_place(change))
    return held


@dataclass(frozen=True, kw_only=True)
class LockedFacts:
    """What an entry repeats of its bundle; as in ``Entry``."""

    repo: str | None
    revision: str | None
    digest: str
    licence: tuple[str, ...]
    restrictions: tuple[str, ...]


def facts_of(dossier: Dossier) -> LockedFacts:
    """Return what an entry repeats of a bundle.

    Raises:
        FormatError: when the bundle says more than a lock file has room for.
    """
    origin, said = dossier.inventory.origin, dossier.described
    return LockedFacts(
        repo=origin.repo,
        revision=origin.revision,
        digest=dossier.inventory.digest,
        licence=_listed(said.licences_declared, "licences"),
        restrictions=_listed(tuple(restriction.kind for restriction in said.restrictions), "restrictions"),
    )


def _changed_in_place(change: LockChange) -> str:
    old, new = change.old, change.new
    assert old is not None
    assert new is not None
    return (
        f"{new.name}: changed in place: {new.source} is locked as model {old.digest}, and this bundle is of "
        f"{new.digest}. A commit never changes its files: ask whoever attested them which are right, and lock another "
        "only when you know why they differ, with --force-same-revision"
    )


def _place(bundle: Path, folder: Path) -> str:
    """Return the path of a bundle below the folder of the lock file, with forward slashes."""
    root, target = folder.resolve(), bundle.resolve()
    if not target.is_relative_to(root) or target == root:
        raise UsageError(
            f"{bundle} lies outside {folder.absolute()}, the folder of the lock file: whoever checks the lock file "
            "elsewhere would not find it; put it below, or the lock file higher with --lock"
        )
    place = target.relative_to(root).as_posix()
    try:
        check_name(place, what=str(bundle))
    except RefusedError as error:
        raise UsageError(str(error)) from error
    return place


def _name(given: str | None, dossier: Dossier) -> str:
    repo = dossier.inventory.origin.repo
    name = given or repo or dossier.inventory.origin.name
    if not is_model_name(name) or ("/" in name and not is_repo(name)):
        hint = "" if given is not None else "; give it a name with --as"
        raise UsageError(
            f"{ascii(name)[:80]} cannot be the name of a model, which is org/name, or one word of letters, digits, "
            f"'_', '.' and '-'{hint}"
        )
    if "/" in name and repo not in (None, name):
        raise UsageError(
            f"the bundle is of {repo}, so it cannot be called {name}; leave the name out, or take one word without '/'"
        )
    return name


def _listed(items: tuple[str, ...], what: str) -> tuple[str, ...]:
    """Return words of a BOM, sorted, as a lock file can hold them: a card may declare anything as its licence."""
    found = sorted({printable(item)[:TEXT_LIMIT] for item in items if item})
    if len(found) > LIST_LIMIT:
        raise FormatError(f"bom.cdx.json: {len(found)} {what}, a lock file has room for {LIST_LIMIT}")
    return tuple(found)
