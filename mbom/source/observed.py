"""What a hub says of a repository besides its files: somebody's word at one moment, never a fact of the checkpoint."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from mbom.digest import GIT_HEX

ASKED_LIMIT = 32  # base models that are looked up; the largest merges name about twenty
GATES = ("auto", "manual", "false")  # the hub's words: terms granted at once, granted by the publisher, no terms

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """The hub's answers about a repository; None where it gave none that has the right form.

    Counters of downloads and likes are left out: they say nothing of the model and change from minute to minute.

    Attributes:
        gated: one of ``GATES``.
        created: when the repository was made, as RFC 3339 in UTC to the second.
        last_modified: the time of the last commit to it.
        bases: the commit that the main branch of a base model points to, (repository, commit) for those that the hub
            resolved; sorted.
    """

    gated: str | None = None
    created: str | None = None
    last_modified: str | None = None
    bases: tuple[tuple[str, str], ...] = ()


def gate(value: object) -> str | None:
    """Return the hub's word for how a repository is gated, or None for anything else."""
    word = "false" if value is False else value
    return word if isinstance(word, str) and word in GATES else None


def moment(value: object) -> str | None:
    """Return a time as text in UTC to the second; None for what is none, or has no zone or no four-digit year."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        return None
    try:
        text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):  # a year that leaves the calendar when the zone is taken off
        return None
    return text if is_moment(text) else None


def is_moment(text: str) -> bool:
    """Tell whether a text is a time as ``moment`` writes it."""
    if not _TIME.fullmatch(text):
        return False
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def resolved(answers: Iterable[tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    """Return the answers that are commits, sorted by the repository's name."""
    return tuple(sorted((repo, sha) for repo, sha in answers if isinstance(sha, str) and GIT_HEX.fullmatch(sha)))
