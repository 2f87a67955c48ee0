"""The entries of a policy's lists: whom it trusts, what it waives, and its own rules."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from mbom.errors import KeyFileError
from mbom.policy import patterns
from mbom.policy.decision import Place
from mbom.policy.reasons import RULE
from mbom.signing import KeyVerifier, TimestampAuthority, TrustedIdentity, Verifier

# Of a regular expression for identities, so that one of n characters takes at most n**3 steps, 256 times.
REPETITIONS = 3
ALTERNATIVES = 8

_WORD = re.compile(r"[a-z0-9]+")
_ESCAPES = re.compile(r"\\.|\[(?:\\.|[^\]\\])*\]")
_REPEATED = re.compile(r"(?:[*+]|(?<!\()\?|\{[0-9]*(?:,[0-9]*)?\})[?+]?")
_REPEATED_GROUP = re.compile(r"\)[*+?{]")


@dataclass(frozen=True, kw_only=True)
class TrustedSigner:
    """Whom a policy trusts, and for which models: a key, or an identity. Paths are below the policy's folder.

    Attributes:
        pattern: the models.
        place: of the entry.
        key: the file of a public key; None for an identity.
        timestamp_authority: the file of the authority that must have timestamped what the key signed.
        identity: of a keyless signature; None for a key.
        trust_config: the file of the Sigstore instance; None for the public one.
    """

    pattern: str
    place: Place
    key: str | None = None
    timestamp_authority: str | None = None
    identity: TrustedIdentity | None = None
    trust_config: str | None = None

    def __str__(self) -> str:
        """Return the signer in words for people."""
        if self.key is None:
            return str(self.identity)
        stamped = f", timestamped by {self.timestamp_authority}" if self.timestamp_authority is not None else ""
        return f"the key {self.key}{stamped}"

    @property
    def files(self) -> tuple[str, ...]:
        """The files that it takes."""
        named = (self.key, self.timestamp_authority, self.trust_config)
        return tuple(name for name in named if name is not None)

    @property
    def is_logged(self) -> bool:
        """Whether what verifies under it has an entry in a transparency log: keyless signatures do not without."""
        return self.identity is not None

    @property
    def is_timed(self) -> bool:
        """Whether somebody vouches for the time of what verifies under it: an authority, or the log."""
        return self.identity is not None or self.timestamp_authority is not None

    def verifier(self, folder: Path) -> Verifier:
        """Return what checks signatures under this trust.

        Args:
            folder: that of the policy.

        Raises:
            KeyFileError: when a file is missing, unreadable or no such file, or lies elsewhere by a link.
        """
        if self.key is not None:
            named = self.timestamp_authority
            authority = TimestampAuthority.load(self._file(folder, named)) if named is not None else None
            return KeyVerifier.load(self._file(folder, self.key), authority)
        from mbom.signing.keyless import KeylessVerifier  # noqa: PLC0415  # sigstore takes a moment to import

        assert self.identity is not None
        configured = self._file(folder, self.trust_config) if self.trust_config is not None else None
        return KeylessVerifier.load(self.identity, configured)

    def check_files(self, folder: Path) -> None:
        """Refuse files that cannot be used, without asking anybody for roots of trust.

        Raises:
            KeyFileError: as ``verifier``.
        """
        if self.key is not None:
            self.verifier(folder)
        elif self.trust_config is not None and not self._file(folder, self.trust_config).is_file():
            raise KeyFileError(f"{folder / self.trust_config}: there is no such file")

    def _file(self, folder: Path, name: str) -> Path:
        """Return the path of a file, which must lie below the folder whatever links say."""
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise KeyFileError(f"{self.place.file}:{self.place.line}: {name} leads out of the folder of the policy")
        return path


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """What is allowed all the same.

    Attributes:
        pattern: the models.
        id: of the reason.
        path: the file that it is about; None for every one.
        reason: why.
        expires: the last day on which it counts, in UTC.
        place: of the entry.
    """

    pattern: str
    id: str
    path: str | None
    reason: str
    expires: date
    place: Place

    def counts(self, now: datetime) -> bool:
        """Tell whether it is in force."""
        return now.astimezone(UTC).date() <= self.expires


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the policy's own: what must be true, in CEL; ``column`` is where that begins in its line, from 1."""

    name: str
    cel: str
    message: str | None
    place: Place
    column: int

    @property
    def id(self) -> str:
        """The id of its reason."""
        return rule_id(self.name)


def rule_id(name: str) -> str:
    """Return the id of the reason of a rule: ``rule-`` and its words."""
    return RULE + "-".join(_WORD.findall(name.casefold()))


def is_for(pattern: str, names: tuple[str, ...]) -> bool:
    """Tell whether a pattern means a model, which may be known by several names."""
    return any(patterns.matches(pattern, name) for name in names)


def unbounded(expression: str) -> str | None:
    """Say why an expression could take longer than anybody waits; None where it cannot."""
    bare = _ESCAPES.sub("a", expression)
    if _REPEATED_GROUP.search(bare):
        return "it repeats a group"
    found = len(_REPEATED.findall(bare))
    if found > REPETITIONS:
        return f"it has {found} repetitions, at most {REPETITIONS} are allowed"
    if bare.count("|") > ALTERNATIVES:
        return f"it has {bare.count('|')} alternatives, at most {ALTERNATIVES} are allowed"
    return None
