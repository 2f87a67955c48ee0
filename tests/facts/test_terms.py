"""Which licence covers what."""

from collections.abc import Mapping, Sequence

import pytest
from releases import OF_COMPONENT, card, release

from mbom.facts.openlicences import _OPEN, _RESTRICTED, _SUITED, is_open, suits

CODE, WEIGHTS, DATA = "training-code", "final-parameters", "datasets"
EVERYTHING = tuple(OF_COMPONENT.values())

ROWS: dict[str, tuple[str, Sequence[str], Mapping[str, Sequence[str]] | None, dict[str, tuple[str, bool | None]]]] = {
    "the card's word where nobody read the text": (
        "license: mit", ["LICENSE"], None, {CODE: ("mit (README.md)", True)},
    ),
    "card and text agree": (
        "license: mit", ["LICENSE"], {"LICENSE": ["MIT"]}, {CODE: ("mit (README.md), MIT (LICENSE)", True)},
    ),
    "the text is not what the card says": (
        "license: apache-2.0", ["LICENSE"], {"LICENSE": ["llama3.1"]},
        {WEIGHTS: ("apache-2.0 (README.md), llama3.1 (LICENSE)", False)},
    ),
    "a text that nobody recognises": (
        "license: apache-2.0", ["LICENSE"], {}, {WEIGHTS: ("apache-2.0 (README.md), not identified (LICENSE)", None)},
    ),
    "no card, and a text": ("", ["LICENSE"], {"LICENSE": ["MIT"]}, {WEIGHTS: ("MIT (LICENSE)", True)}),
    "no card, and nobody read the text": ("", ["LICENSE"], None, {WEIGHTS: ("not identified (LICENSE)", None)}),
    "nothing at all": ("", [], {}, {WEIGHTS: ("no licence", False)}),
    "one licence for code and one for the model": (
        "license: other\nlicense_name: deepseek", ["LICENSE-CODE", "LICENSE-MODEL"],
        {"LICENSE-CODE": ["MIT"], "LICENSE-MODEL": ["deepseek"]},
        {
            CODE: ("MIT (LICENSE-CODE)", True), WEIGHTS: ("deepseek (LICENSE-MODEL)", False),
            DATA: ("deepseek (README.md)", False),
        },
    ),
    "a folder with a licence of its own": (
        "license: llama3", ["data/LICENSE.txt"], {"data/LICENSE.txt": ["CDLA-Permissive-2.0"]},
        {DATA: ("CDLA-Permissive-2.0 (data/LICENSE.txt)", True), CODE: ("llama3 (README.md)", False)},
    ),
    "a notice is no licence": ("license: mit", ["NOTICE"], {}, {CODE: ("mit (README.md)", True)}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ROWS))
def test_which_licence_covers_what(name: str) -> None:
    licence, names, detected, expected = ROWS[name]
    openness = release([*EVERYTHING, *names], card(licence) if licence else None, detected=detected)
    found = {}
    for key in expected:
        terms = openness.element(key).terms
        assert terms is not None
        found[key] = (terms.says, terms.open)
    assert found == expected


@pytest.mark.parametrize(
    ("licence", "verdict"),
    [
        ("Apache-2.0", True), ("apache-2.0", True), ("mit", True), ("openmdw-1.1", True), ("cc-by-4.0", True),
        ("odbl", True), ("bsl-1.0", True), ("Llama 3.1", False), ("llama3.1", False), ("gemma", False),
        ("cc-by-nc-sa-4.0", False), ("cc-by-nd-4.0", False), ("openrail++", False), ("modified-mit", False),
        ("busl-1.1", None), ("other", None), ("unknown", None), ("cc", None), ("", None),
    ],
)  # fmt: skip
def test_what_is_an_open_licence(licence: str, verdict: bool | None) -> None:
    assert is_open(licence) is verdict


def test_whatever_suits_a_kind_of_content_is_open() -> None:
    assert frozenset().union(*_SUITED.values()) <= _OPEN
    assert not _OPEN & _RESTRICTED
    assert not suits("gemma", "code")
