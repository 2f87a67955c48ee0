"""Large numbers as people read them."""

import pytest

from mbom.quantities import counted, size


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (999_499, "999 kB"), (999_500, "1.00 MB"),
     (13_760_000_000, "13.8 GB"), (10**18, "1,000 PB")],
)  # fmt: skip
def test_sizes_are_in_decimal_units(number: int, words: str) -> None:
    assert size(number) == words


def test_things_are_counted_in_a_phrase() -> None:
    assert [counted(number, "file") for number in (0, 1, 1024)] == ["0 files", "1 file", "1,024 files"]
