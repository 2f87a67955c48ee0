import boms
import pytest
from boms import document

from mbom import bom
from mbom.bom import Affidavit, Author
from mbom.errors import UsageError
from mbom.strictjson import Json


@pytest.mark.parametrize(
    ("text", "author"),
    [
        ("Example Research", Author(name="Example Research")),
        ("Ann Ünal <ann@example.org>", Author(name="Ann Ünal", email="ann@example.org")),
        ("  Ann <ann@example.org> ", Author(name="Ann", email="ann@example.org")),
    ],
)
def test_an_author_is_a_name_with_or_without_an_address(text: str, author: Author) -> None:
    assert Author.parse(text) == author


@pytest.mark.parametrize(
    "text", ["", " ", "<ann@example.org>", "Ann <ann>", "Ann <a@b> x", "A\x1b[31m", "A\u202eB", "a" * 201, "Ann\nBob"]
)
def test_any_other_author_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="the author is"):
        Author.parse(text)


@pytest.mark.parametrize("author", [None, Author(name="A"), Author(name="A", email="a@b.example")])
def test_the_author_stands_in_the_document_and_is_read_back(author: Author | None) -> None:
    data = bom.build(
        inventory=boms.inventory(),
        facts=boms.facts(),
        behaviour=None,
        tool_version="1.2.3",
        created=boms.CREATED,
        said=Affidavit(author=author),
    )
    assert bom.affidavit_of(document(data)).author == author


@pytest.mark.parametrize(
    "metadata",
    [None, [], {}, {"authors": {}}, {"authors": [{"name": 1}]}, {"authors": [{"name": "a"}, {"name": "b"}]}],
)
def test_an_author_that_is_written_otherwise_counts_as_none(metadata: Json) -> None:
    assert Author.read({"metadata": metadata}) is None
