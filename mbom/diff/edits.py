"""The elements that an edit of a few weights consists of, read back for people: each with its place and both values.

What the process that compares weights says of them is data of another process, so each is checked before it is told.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mbom.diff.changes import Explanation
from mbom.printable import printable
from mbom.strictjson import Json

LISTED = "elements"  # where the details of an explanation have them
DIGITS = 9  # with which no two numbers of float32, or of a narrower type, look the same


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One element.

    Attributes:
        place: the weight and the index in it, as in ``w[2, 31, 5]``.
        old: the value that was.
        new: the value that is.
        bit: the only bit of the stored type that differs, counted from the lowest; None where it is more than one, or
            where nobody can tell.
    """

    place: str
    old: str
    new: str
    bit: int | None

    def __str__(self) -> str:
        """Return it as a line."""
        flipped = "" if self.bit is None else f", bit {self.bit} flipped"
        return f"{self.place}: {self.old} → {self.new}{flipped}"


def edits(found: Explanation) -> tuple[Edit, ...]:
    """Return the elements that an explanation lists; none where it lists none."""
    held = found.details.get(LISTED)
    return tuple(_read(held)) if isinstance(held, list) else ()


def _read(held: list[Json]) -> Iterator[Edit]:
    for each in held:
        if isinstance(each, Mapping):
            index, bit = each.get("index"), each.get("bit")
            inside = ", ".join(_value(number) for number in index) if isinstance(index, list) else "?"
            yield Edit(
                place=f"{_value(each.get('weight'))}[{inside}]",
                old=_value(each.get("old")),
                new=_value(each.get("new")),
                bit=bit if isinstance(bit, int) and not isinstance(bit, bool) else None,
            )


def _value(value: Json) -> str:
    """Return a number or a name, as short as tells it apart."""
    if isinstance(value, float):
        return f"{value:.{DIGITS}g}"
    return printable(str(value)) if isinstance(value, str | int) else "?"
