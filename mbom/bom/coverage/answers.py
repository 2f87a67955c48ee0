"""What a rule answers: a status, and the data of the document that it rests on.

No answer is better than its weakest ground: an element of several parts is disclosed when all of them are there, and
verified when all of them are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

VALUE_LIMIT = 500  # characters of a value that is shown; an address or a description is shorter


class Status(StrEnum):
    """How well a document answers an element."""

    VERIFIED = "verified"  # mbom computed it from bytes, or evidence shows it
    DECLARED = "declared"  # somebody's word: the publisher's, the operator's, or another generator's
    UNDISCLOSED = "not disclosed"  # the document does not say
    INAPPLICABLE = "not applicable"  # the question makes no sense here, for the reason given


@dataclass(frozen=True, kw_only=True)
class Datum:
    """A value of the document that answers something, or a part of it.

    Attributes:
        pointer: where it stands, a JSON pointer (RFC 6901).
        value: its text, up to ``VALUE_LIMIT`` characters of it.
        verified: whether it is more than somebody's word.
    """

    pointer: str
    value: str
    verified: bool

    @property
    def status(self) -> Status:
        """The status of this value alone."""
        return Status.VERIFIED if self.verified else Status.DECLARED


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A status, what it rests on, and what there is to say: what lacks, why it does not apply, what to mind."""

    status: Status
    data: tuple[Datum, ...] = ()
    reason: str = ""

    @property
    def disclosed(self) -> bool:
        """Whether the document says it, on whosever word."""
        return self.status in (Status.VERIFIED, Status.DECLARED)


def datum(pointer: str, value: str, *, verified: bool) -> Datum:
    """Return a datum with its value shortened."""
    return Datum(
        pointer=pointer,
        value=value if len(value) <= VALUE_LIMIT else value[: VALUE_LIMIT - 1] + "…",
        verified=verified,
    )


def settle(*parts: Sequence[Datum], lacking: str, also: Iterable[Datum] = (), mind: str = "") -> Answer:
    """Return the answer of parts that are all needed.

    Args:
        parts: the data found for each part; an empty one is lacking.
        lacking: what is said when a part lacks.
        also: data worth showing that the status does not depend on.
        mind: what is said when nothing lacks.
    """
    data = tuple(item for part in parts for item in part)
    if not parts or not all(parts):
        return Answer(status=Status.UNDISCLOSED, data=(*data, *also), reason=lacking)
    verified = all(item.verified for item in data)
    return Answer(status=Status.VERIFIED if verified else Status.DECLARED, data=(*data, *also), reason=mind)


def inapplicable(reason: str) -> Answer:
    """Return the answer to a question that makes no sense of this document."""
    return Answer(status=Status.INAPPLICABLE, reason=reason)
