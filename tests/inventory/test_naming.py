import unicodedata

import pytest

from mbom.inventory.naming import KNOWN, name_findings, shown, tensor_name_findings

# A name, and what it shows as; what is honest shows as itself or mixes nothing.
LOOKALIKES = {
    "c\u043enfig.json": "config.json",
    "m\u03bfdel.safetensors": "model.safetensors",
    "\uff43onfig.json": "config.json",
    "\U0001d41c\U0001d428\U0001d427.txt": "con.txt",
    "..\u2215secret": "../secret",
    "README\u2024md": None,  # README.md is no name that loaders look for, and is not beside it here
    "a/\u0441onfig.json": "a/config.json",
    "\u0441\u0430\u0440\u0435": None,
    "лицензия.txt": None,
    "Übersicht.md": None,
    "说明.md": None,
    "α-model.txt": None,
    "Model – card.txt": None,
    "m².txt": None,
    "plain.txt": None,
}


@pytest.mark.parametrize(("name", "expected"), LOOKALIKES.items(), ids=ascii)
def test_a_name_that_shows_as_another_is_found(name: str, expected: str | None) -> None:
    found = list(name_findings([name]))
    assert [item.id for item in found] == (["name-lookalike"] if expected else [])
    if expected:
        assert shown(name) == expected
        assert repr(expected) in found[0].detail
        assert found[0].detail.isascii()


def test_a_name_that_shows_as_its_neighbour_is_found() -> None:
    (found,) = name_findings(["README.md", "README\u2024md"])
    assert (found.id, found.path) == ("name-lookalike", "README\u2024md")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_known_name_in_other_letters_is_found_at_the_root_only(name: str) -> None:
    assert list(name_findings([name, f"a/{name.upper()}"])) == []
    (found,) = name_findings([name.capitalize()])
    assert found.id == "name-lookalike"


@pytest.mark.parametrize("name", ["-rf", "--help", "a/-x", "-/x"])
def test_a_name_that_begins_with_a_dash_is_found(name: str) -> None:
    assert [item.id for item in name_findings([name, "a-b", "c/d-e"])] == ["name-option"]


def test_names_of_tensors_are_found_once_for_a_file() -> None:
    names = ["model.norm.weight", "m\u043edel.norm.weight", "mod\u0435l.norm.weight", "\u6a21.weight"]
    (found,) = tensor_name_findings(names, "model.safetensors")
    assert (found.id, found.path) == ("name-lookalike", "model.safetensors")
    assert found.detail.startswith("2 names")


def test_letters_that_look_alike_are_single_letters_of_other_scripts() -> None:
    for point in range(0x80, 0x600):
        char = chr(point)
        if shown(char).isascii() and unicodedata.normalize("NFKC", char) != shown(char):
            assert not unicodedata.name(char).startswith("LATIN"), hex(point)
