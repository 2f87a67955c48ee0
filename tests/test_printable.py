import sys
import unicodedata

from mbom.printable import printable


def test_what_is_printable_stays_as_it_is() -> None:
    text = "naïve 模型 Ω 🙂 a-b_c/d.safetensors"
    assert printable(text) is text


def test_nothing_that_moves_hides_or_reorders_is_left_of_any_character() -> None:
    kept = [
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if printable(char) == char
        and (unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") or char in "\xa0\u3000")
    ]
    assert not kept


def test_each_character_is_escaped_as_python_writes_it() -> None:
    assert printable("a\x1b[31m\u202e\x9b\ud800\U000e0001\xa0") == r"a\x1b[31m\u202e\x9b\ud800\U000e0001\xa0"


def test_exceptions_are_kept() -> None:
    assert printable("a\nb\tc", keep="\n") == "a\nb\\tc"
