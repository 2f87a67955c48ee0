"""The time as commands state it and hold it against what others stated."""

import os
import re
from datetime import UTC, datetime, timedelta

from mbom.errors import UnavailableError, UsageError

UNSET = datetime(2020, 1, 1, tzinfo=UTC)  # clocks that nobody set begin in 1970, 1980, 2000 or 2010
LATEST = 253_402_300_799  # the last second that four digits of a year can say
# How far a signer's clock may be ahead of ours; a statement from the far future would pass --min-time for years.
APART = timedelta(days=1)
_SECONDS = re.compile("[0-9]{1,12}")


def created() -> datetime:
    """Return the time to state: ``SOURCE_DATE_EPOCH`` where it is set, so that a second run gives the same bytes.

    Raises:
        UsageError: when the variable is no number of seconds.
        UnavailableError: when the clock of this machine was never set.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if text is None:
        now = datetime.now(UTC).replace(microsecond=0)
        if now < UNSET:
            raise UnavailableError(
                f"the clock of this machine was never set: it says {now:%Y-%m-%d %H:%M} UTC, and that would be signed; "
                "set it, or give the time with SOURCE_DATE_EPOCH"
            )
        return now
    # As reproducible-builds.org specifies it: no sign, no space, no other digits.
    seconds = int(text) if _SECONDS.fullmatch(text) else LATEST + 1
    if seconds > LATEST:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text[:40]!r}, it must be a number of seconds since 1970, and before the year 10000"
        )
    return datetime.fromtimestamp(seconds, UTC)


def latest() -> datetime:
    """Return the latest time that a statement can have been made at, by the clock of this machine."""
    return datetime.now(UTC).replace(microsecond=0) + APART


def now() -> datetime:
    """Return the time by the clock of this machine, which waivers and ages are counted by.

    Raises:
        UnavailableError: when that clock was never set, so that no waiver would expire.
    """
    found = datetime.now(UTC).replace(microsecond=0)
    if found < UNSET:
        raise UnavailableError(
            f"the clock of this machine was never set: it says {found:%Y-%m-%d %H:%M} UTC, by which no waiver expires"
        )
    return found
