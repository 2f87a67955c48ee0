"""One model of a lock file: what it is, where its evidence lies, and what a verification came to."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from mbom.digest import GIT_HEX, is_sha256
from mbom.errors import FormatError, RefusedError, StorageError
from mbom.signing import Signatory
from mbom.source import is_repo
from mbom.source.names import check_name
from mbom.strictjson import Json
from mbom.verdict import STEPS

NAME_LIMIT = 200  # characters; the hub's longest names of repositories have 193
TEXT_LIMIT = 2048  # characters of an identity, an issuer or a licence: what a certificate's claim may have
LIST_LIMIT = 100  # licences or restrictions of one model; a card names a few
PATH_LIMIT = 1024  # characters of the path of a bundle

# What a pattern of a policy is matched against. No character of it is special in a pattern, a path or a URL, and none
# looks like another one of the set.
_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*(/[0-9A-Za-z_][0-9A-Za-z_.-]*)?")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_RESTRICTION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

KEYS = (
    "name",
    "repo",
    "revision",
    "digest",
    "bundle",
    "bundle_digest",
    "signer",
    "licence",
    "restrictions",
    "verdict",
    "checked",
    "date",
)
OPTIONAL = ("repo", "revision")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model.

    Attributes:
        name: by which the repository and the patterns of its policy call it: ``org/name``, or one word.
        repo: the repository on the hub that it was attested from; None for a folder. A name with a slash is that.
        revision: the commit there, 40 hex digits; None for a folder.
        digest: the model digest.
        bundle: where its bundle lies: a path below the folder of the lock file, with forward slashes.
        bundle_digest: the identity of the bundle, see ``mbom.bundle.digest``.
        signer: whose signature of the bundle was verified.
        licence: what the card declares, as ``Description.licences_declared`` has it, sorted.
        restrictions: the kinds of restrictions that the licences have, sorted.
        verdict: what the verification came to. Nothing else than ``verified`` is ever written.
        checked: the steps of the procedure that passed, in their order; the others were not asked for.
        date: the day of that verification in UTC.
    """

    name: str
    repo: str | None = None
    revision: str | None = None
    digest: str
    bundle: str
    bundle_digest: str
    signer: Signatory
    licence: tuple[str, ...]
    restrictions: tuple[str, ...]
    verdict: Literal["verified"] = "verified"
    checked: tuple[str, ...]
    date: date

    @property
    def source(self) -> str:
        """Where the model comes from, in words for people: ``org/name@revision``, or that it is a folder."""
        return f"{self.repo}@{self.revision}" if self.repo is not None else "a folder"

    def to_dict(self) -> dict[str, Json]:
        """Return the entry as JSON, with the keys that the file has; those that it leaves out are None."""
        return {
            "name": self.name,
            "repo": self.repo,
            "revision": self.revision,
            "digest": self.digest,
            "bundle": self.bundle,
            "bundle_digest": self.bundle_digest,
            "signer": self.signer.to_dict(),
            "licence": list(self.licence),
            "restrictions": list(self.restrictions),
            "verdict": self.verdict,
            "checked": list(self.checked),
            "date": self.date.isoformat(),
        }

    @classmethod
    def from_table(cls, table: Mapping[str, object], *, what: str) -> "Entry":
        """Read a ``[[model]]`` table as ``tomllib`` returns it.

        Args:
            table: the table.
            what: how error messages name the model.

        Raises:
            FormatError: on anything missing, unknown, of the wrong type or not in canonical form.
        """
        told = _Table(table, what)
        told.holds(KEYS, OPTIONAL)
        entry = cls(
            name=told.matching("name", is_model_name, "org/name, or one word of letters, digits, '_', '.' and '-'"),
            repo=told.matching("repo", is_repo, "org/name") if "repo" in table else None,
            revision=told.matching("revision", _is_commit, "40 lower-case hex digits") if "revision" in table else None,
            digest=told.matching("digest", is_sha256, "64 lower-case hex digits"),
            bundle=told.path("bundle"),
            bundle_digest=told.matching("bundle_digest", is_sha256, "64 lower-case hex digits"),
            signer=_signer(told.table("signer")),
            licence=told.texts("licence"),
            restrictions=told.texts("restrictions", _RESTRICTION),
            verdict=told.verified(),
            checked=told.steps("checked"),
            date=told.day("date"),
        )
        _check(entry, what)
        return entry


def is_model_name(text: str) -> bool:
    """Tell whether ``text`` can be the name of a model in a lock file."""
    return len(text) <= NAME_LIMIT and _NAME.fullmatch(text) is not None and ".." not in text


def located(entry: Entry, folder: Path) -> Path:
    """Return the bundle of an entry on this machine.

    A lock file can come from somebody else's pull request. Whatever it says, nothing is read outside its folder: no
    other checkout of the machine, and no file that an error message could quote. Links inside the folder count by what
    they point to.

    Args:
        entry: the model.
        folder: the folder of the lock file.

    Raises:
        FormatError: when the path leads out of the folder.
        StorageError: when nothing is there, or it cannot be followed.
    """
    path = folder / entry.bundle
    try:
        root, target = folder.resolve(strict=True), path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle, before Python 3.13
        raise StorageError(
            f"{entry.name}: there is no bundle at {entry.bundle}; put it there, or lock it where it lies"
        ) from error
    if not target.is_relative_to(root):
        raise FormatError(f"{entry.name}: the bundle {entry.bundle} is a link to outside the lock file's folder")
    return path


def _is_commit(text: str) -> bool:
    return GIT_HEX.fullmatch(text) is not None


def _check(entry: Entry, what: str) -> None:
    """Hold the members of an entry against each other."""
    if (entry.repo is None) != (entry.revision is None):
        raise FormatError(f"{what}: 'repo' and 'revision' belong together, one is missing")
    if "/" in entry.name and entry.repo not in (None, entry.name):
        raise FormatError(
            f"{what}: the name of another repository than 'repo', {entry.repo}; a model is called by its own "
            "repository or by one word"
        )


def _signer(told: "_Table") -> Signatory:
    if "key" in told.members:
        told.holds(("key",))
        return Signatory(key=told.matching("key", _is_fingerprint, "SHA256: and 43 characters of base64"))
    if "certificate" in told.members:
        told.holds(("certificate",))
        return Signatory(certificate=told.text("certificate"))
    told.holds(("identity", "issuer"))
    return Signatory(identity=told.text("identity"), issuer=told.text("issuer"))


def _is_fingerprint(text: str) -> bool:
    return _FINGERPRINT.fullmatch(text) is not None


class _Table:
    """Typed access to a table whose author may be anybody."""

    def __init__(self, members: Mapping[str, object], what: str) -> None:
        self.members = members
        self.what = what

    def holds(self, keys: tuple[str, ...], optional: tuple[str, ...] = ()) -> None:
        """Refuse a key that is unknown, and one that is missing."""
        unknown = sorted(self.members.keys() - set(keys))
        if unknown:
            raise FormatError(f"{self.what}: unknown key {_shown(unknown[0])}; allowed are {', '.join(keys)}")
        missing = [key for key in keys if key not in self.members and key not in optional]
        if missing:
            raise FormatError(f"{self.what}: {missing[0]!r} is missing; `mbom lock update` writes it")

    def text(self, key: str) -> str:
        value = self.members[key]
        if not isinstance(value, str):
            raise FormatError(f"{self.what}: {key!r} is {_shown(value)}, it must be text")
        return _printable(value, f"{self.what}: {key!r}", TEXT_LIMIT)

    def matching(self, key: str, holds: Callable[[str], bool], form: str) -> str:
        value = self.text(key)
        if not holds(value):
            raise FormatError(f"{self.what}: {key!r} is {_shown(value)}, it must be {form}")
        return value

    def path(self, key: str) -> str:
        value = self.text(key)
        if len(value) > PATH_LIMIT:
            raise FormatError(f"{self.what}: {key!r} has {len(value)} characters, at most {PATH_LIMIT} are allowed")
        try:
            check_name(value, what=f"{self.what}: {key!r}")
        except RefusedError as error:
            raise FormatError(f"{error}; a bundle lies below the folder of the lock file") from error
        return value

    def table(self, key: str) -> "_Table":
        value = self.members[key]
        if not isinstance(value, dict):
            raise FormatError(f"{self.what}: {key!r} is {_shown(value)}, it must be a table such as {{ key = … }}")
        return _Table(value, f"{self.what}: {key!r}")

    def texts(self, key: str, form: re.Pattern[str] | None = None) -> tuple[str, ...]:
        items = self._items(key)
        for item in items:
            if form is not None and form.fullmatch(item) is None:
                raise FormatError(f"{self.what}: {key!r} holds {_shown(item)}, which is none")
        if list(items) != sorted(set(items)):
            raise FormatError(f"{self.what}: {key!r} must be sorted and name nothing twice")
        return items

    def steps(self, key: str) -> tuple[str, ...]:
        items = self._items(key)
        unknown = [item for item in items if item not in STEPS]
        if unknown:
            raise FormatError(f"{self.what}: {key!r} names {_shown(unknown[0])}; the steps are {', '.join(STEPS)}")
        if not items or list(items) != sorted(set(items), key=STEPS.index):
            raise FormatError(f"{self.what}: {key!r} must name steps in their order, each once, and at least one")
        return items

    def _items(self, key: str) -> tuple[str, ...]:
        value = self.members[key]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise FormatError(f"{self.what}: {key!r} must be an array of texts")
        if len(value) > LIST_LIMIT:
            raise FormatError(f"{self.what}: {key!r} has {len(value)} items, at most {LIST_LIMIT} are allowed")
        return tuple(_printable(item, f"{self.what}: {key!r}", TEXT_LIMIT) for item in value)

    def verified(self) -> Literal["verified"]:
        if self.members["verdict"] != "verified":
            raise FormatError(
                f"{self.what}: 'verdict' is {_shown(self.members['verdict'])}, it must be 'verified': nothing else is "
                "locked"
            )
        return "verified"

    def day(self, key: str) -> date:
        value = self.members[key]
        if type(value) is not date:  # a datetime is one too
            raise FormatError(f"{self.what}: {key!r} is {_shown(value)}, it must be a date such as 2026-11-21")
        return value


def _printable(text: str, what: str, limit: int) -> str:
    if not text or len(text) > limit:
        raise FormatError(f"{what} has {len(text)} characters, 1 to {limit} are allowed")
    if not text.isprintable():
        raise FormatError(f"{what} is {_shown(text)}: it holds a character that cannot be seen")
    return text


def _shown(value: object) -> str:
    return ascii(value)[:80]
