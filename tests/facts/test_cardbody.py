"""Links and sections of a card's text, honest and hostile."""

import random
import time

import pytest
from releases import PROSE, card

from mbom.facts.cardbody import BODY_LIMIT, LINKS_LIMIT, SECTIONS_LIMIT, Body, read_body
from mbom.facts.places import Place


def links(text: str) -> list[tuple[str, str]]:
    return [(link.address, link.label) for link in read_body(text.encode()).links]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[code](https://github.com/org/x)", [("https://github.com/org/x", "code")]),
        ("**Code:** https://github.com/org/x.", [("https://github.com/org/x", "Code")]),
        ("Not here. Training code: https://github.com/org/x", [("https://github.com/org/x", "Training code")]),
        ('<a href="https://GitHub.com/org/x">the code</a>', [("https://GitHub.com/org/x", "the code")]),
        ("see <https://arxiv.org/abs/2401.00001>", [("https://arxiv.org/abs/2401.00001", "")]),
        ("arXiv:2401.00001v2, ARXIV: 2402.00002", [
            ("https://arxiv.org/abs/2401.00001", ""), ("https://arxiv.org/abs/2402.00002", ""),
        ]),
        ("https://huggingface.co/papers/2401.00001", [("https://huggingface.co/papers/2401.00001", "")]),
        ("https://huggingface.co/org/model https://discord.gg/x", []),
        ("![badge](https://github.com/org/x/badge.svg)", []),
        ("https://github.com@evil.example/x https://github.com.evil.example/x", []),
        ("https://user:pw@github.com/x", []),
        ("javascript:alert(1) ftp://github.com/x file:///etc/passwd", []),
        (f"https://github.com/{'a' * 600}", []),  # cut off, it would be another address
        ("https://github.com/x\u202ecod.exe", [("https://github.com/x", "")]),
    ],
)  # fmt: skip
def test_links_of_a_line(text: str, expected: list[tuple[str, str]]) -> None:
    assert links(text) == expected


def test_a_link_is_told_once_with_its_first_line_in_the_file() -> None:
    data = card("license: mit\nlanguage: en", "a\nhttps://github.com/org/x\nhttps://github.com/org/x")
    assert [link.place for link in read_body(data).links] == [Place(file="README.md", line=8)]
    assert data.split(b"\n")[7] == b"https://github.com/org/x"


def test_sections_end_where_one_of_their_level_begins() -> None:
    text = "# A\naaaa\n## B\nbb\n```\n# no heading\n```\n### C\n| 1 | 2.5 |\n- 3\n4\n"
    text += "# D\n<!-- hidden -->[More Information Needed]"
    assert [
        (section.title, section.characters, section.figures, section.place.line)
        for section in read_body(text.encode()).sections
    ] == [("A", 22, 3, 1), ("B", 18, 3, 3), ("C", 10, 3, 8), ("D", 0, 0, 12)]


def test_no_card_has_no_text() -> None:
    assert read_body(None) == Body()


def test_a_card_with_broken_front_matter_still_has_its_text() -> None:
    assert links("---\nlicense: [\n---\nhttps://github.com/org/x") == [("https://github.com/org/x", "")]
    assert links("---\nlicense: mit\nhttps://github.com/org/x") == [("https://github.com/org/x", "")]


HOSTILE = {
    "links without end": "https://github.com/org/{0} " * 100_000,
    "one endless line of brackets": "[" * 2_000_000,
    "brackets and addresses": "[[[](https://github.com/x)" * 80_000,
    "labels of blanks": (" " * 300 + ":https://github.com/x\n") * 4000,
    "quotes": ('https://github.com/x"' + "'" * 300) * 4000,
    "headings": "# x\n" * 500_000,
    "fences": "```\n" * 500_000,
    "comments that never end": "<!--" * 500_000,
    "escapes": "\x1b[31m\u202e\x00" * 200_000,
    "almost an address": "https://" * 250_000,
    "almost an id": "arxiv:" * 300_000,
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_card_costs_little_time_and_stays_within_limits(name: str) -> None:
    start = time.perf_counter()
    body = read_body(HOSTILE[name].encode())
    assert time.perf_counter() - start < 3
    assert len(body.links) <= LINKS_LIMIT
    assert len(body.sections) <= SECTIONS_LIMIT
    assert body.characters <= BODY_LIMIT
    assert all(link.address.isascii() and link.address.isprintable() for link in body.links)


def test_any_bytes_are_a_text() -> None:
    dice = random.Random(7)
    data = bytearray(card(text=f"{PROSE}\n## Training data\n[code](https://github.com/org/x)\n| 1 | 2 |"))
    for _ in range(300):
        for _ in range(4):
            data[dice.randrange(len(data))] = dice.randrange(256)
        assert read_body(bytes(data)).characters >= 0
