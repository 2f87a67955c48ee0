"""Tables of digests held against each other, and the sentences about where they differ."""

from collections.abc import Mapping, Sequence

from mbom.errors import RefusedError
from mbom.inventory import TensorRecord
from mbom.signing import Subject

NAMED = 3  # how many differing names a detail spells out before it counts the rest


def digests(subjects: Sequence[Subject]) -> dict[str, str]:
    """Return the SHA-256 of each subject by its name."""
    return {subject.name: subject.sha256 for subject in subjects}


def differences(signed: Mapping[str, str], found: Mapping[str, str], where: str) -> list[str]:
    """Name every file that is missing, extra or different between two tables of SHA-256 by name."""
    return [
        *(f"{name} is missing from {where}" for name in sorted(signed.keys() - found.keys())),
        *(f"{name} in {where} is not signed" for name in sorted(found.keys() - signed.keys())),
        *(
            f"{name}: sha256 {found[name][:12]}… in {where}, signed {signed[name][:12]}…"
            for name in sorted(signed.keys() & found.keys())
            if found[name] != signed[name]
        ),
    ]


def tensor_difference(signed: TensorRecord, found: TensorRecord) -> str:
    """Say how a tensor that is not the signed one differs from it."""
    if (found.dtype, found.shape) != (signed.dtype, signed.shape):
        return f"is {found.dtype} {list(found.shape)}, signed {signed.dtype} {list(signed.shape)}"
    if found.blake3 != signed.blake3:
        return "differs"
    return f"lies at {found.file}:{found.start}, signed {signed.file}:{signed.start}"


def refuse(problems: Sequence[str], *, rest: str = "") -> None:
    """Raise with the first problems spelled out and the others counted, if there are any."""
    if not problems:
        return
    named = "; ".join(problems[:NAMED])
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    raise RefusedError(f"{named}{more}" + (f" ({rest})" if rest else ""))


def count(number: int, noun: str) -> str:
    """Return a number of things in words, such as ``3 files``."""
    return f"{number} {noun}" if number == 1 else f"{number:,} {noun}s"
