"""Numbers as people read them: large ones with three digits and a unit, and numbers of things."""

from collections.abc import Sequence

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")


def size(number: int) -> str:
    """Return a number of bytes in decimal units: ``13.8 GB``."""
    return scaled(number, _BYTES)


def scaled(number: int, units: Sequence[str]) -> str:
    """Return a number in the largest of some units that it fills, each a thousand times the one before."""
    value = float(number)
    for unit in units[:-1]:
        if value < 999.5:
            digits = 0 if unit == units[0] else max(0, 3 - len(str(int(value))))
            return f"{value:.{digits}f} {unit}".rstrip()
        value /= 1000
    return f"{value:,.{max(0, 3 - len(str(int(value))))}f} {units[-1]}"


def counted(number: int, noun: str) -> str:
    """Return a number of things as a phrase: ``1 file``, ``1,024 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
