"""Bad cards: whatever stands in README.md, there is a BOM, and everything in it that is not from the card is whole.

The oracle is another BOM of the same files. A card that cannot be used must declare what a missing one declares, and a
member that cannot be used must give the very document of the card without that member.
"""

import inspect
import random
import re
from pathlib import Path
from typing import Any

import boms
import pytest
import shapes
from checkpoints import SIDE_FILES, write_checkpoint
from commands import mbom

from mbom import strictjson
from mbom.bom.sections.declarations import FILES_CLAIM, INDEX_CLAIM
from mbom.facts import card as card_reader
from mbom.facts.card import CARD, FRONT_MATTER_LIMIT
from mbom.facts.plainyaml import EVENT_LIMIT
from mbom.facts.reading import read_facts
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.record import Finding
from mbom.inventory.roles import role
from mbom.source import Origin

TENSORS = shapes.records(shapes.gpt_oss(1, 2))
LICENCES = Path(__file__).parents[2] / "fixtures" / "licences"
LICENCE = {"LICENSE": (LICENCES / "moonshot-ai-modified-mit-2025.txt").read_bytes()}
SIDE = {name: data for name, data in boms.SIDE.items() if name != CARD} | LICENCE
BODY = "\n# A model\n\nIt was trained on [data](https://example.org/data), see https://arxiv.org/abs/2501.00001.\n"

# One line of front matter for every member that the reader knows, and for some that it does not.
GOOD = {
    "license": "license: other",
    "license_name": "license_name: modified-mit",
    "license_link": "license_link: LICENSE",
    "base_model": "base_model: [org/first, org/second]",
    "base_model_relation": "base_model_relation: merge",
    "datasets": "datasets: [org/data]",
    "language": "language: [en, no]",
    "pipeline_tag": "pipeline_tag: text-generation",
    "library_name": "library_name: transformers",
    "new_version": "new_version: org/next",
    "tags": "tags: [moe]",
    "model-index": "model-index: []",
    "widget": "widget: [{text: hello}]",
}
KNOWN = set(re.findall(r'members\.\w+\(\s*"([\w-]+)"', inspect.getsource(card_reader)))

WRONG = {
    "a mapping": "{a: b}",
    "a mapping in a mapping": "{a: {b: {c: [d]}}}",
    "a list in a list": "[[x]]",
    "a list of mappings": "[{a: b}, {c: d}]",
    "a list with an empty text": "[x, '']",
    "an empty text": "''",
    "a text over the limit": "x" * 513,
    "a text that turns around": '"a\\u202eb"',
    "a terminal's command": '"a\\e[31m"',
    "half a character": '"\\ud800"',
    "a null byte": '"a\\0b"',
    "two lines": '"a\\nb"',
    "a list over the limit": f"[{', '.join(f'd{n}' for n in range(300))}]",
}
STRUCTURED = {"model-index", "tags", "widget"}  # whose parts are read one by one, if at all


def inventory(side: dict[str, bytes]) -> Inventory:
    """Return the inventory of a small checkpoint with these side files."""
    files = [
        FileRecord(name=name, size=len(data), sha256=f"{number:064x}", role=role(name))
        for number, (name, data) in enumerate(sorted(side.items()))
    ]
    files.append(FileRecord(name="model.safetensors", size=TENSORS[-1].end, sha256="a" * 64, role="weights"))
    return Inventory(
        origin=Origin(kind="hub", name="model", repo="org/model", revision=boms.REVISION),
        files=tuple(sorted(files, key=lambda file: file.name)),
        tensors=TENSORS,
    )


def built(card: bytes, read: bytes | None) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """Return the BOM of a checkpoint with a card whose reader is given other bytes, and the findings."""
    held = inventory(SIDE | {CARD: card})
    told, findings = read_facts(held, SIDE if read is None else SIDE | {CARD: read})
    document: dict[str, Any] = boms.document(boms.build(held, told, None))
    return document, findings


def front_matter(*lines: str) -> bytes:
    return "\n".join(["---", *lines, "---", BODY]).encode()


def beyond_the_card(document: dict[str, Any]) -> dict[str, Any]:
    """Return of a BOM what no card can have said: files, digests, and everything counted in headers."""
    model = document["components"][0]
    elsewhere = (
        "parameters:", "stored-bytes:", "architecture:", "footprint:", "packing", "quantisation:", "files:", "tensors:",
        "tokenizer:", "code:", "pickle:", "producer:", "licence:detected", "hub:",
    )  # fmt: skip
    return {
        "files": model["components"],
        "identity": [model[name] for name in ("bom-ref", "name", "group", "version", "purl", "hashes")],
        "serial": document["serialNumber"],
        "properties": [
            entry
            for entry in (*model["properties"], *model["modelCard"]["properties"])
            if entry["name"].removeprefix("mbom:").startswith(elsewhere)
        ],
        "evidence": model["evidence"],
        "templates": [part for part in document["components"] if part["bom-ref"].startswith("chat-template:")],
        "claims": [
            part for part in document["declarations"]["claims"] if part["bom-ref"] in (FILES_CLAIM, INDEX_CLAIM)
        ],
        "metadata": document["metadata"],
    }


def declared(document: dict[str, Any]) -> list[Any]:
    """Return of a BOM what the front matter of a card declares."""
    model = document["components"][0]
    return [model.get("licenses"), model.get("pedigree"), model["modelCard"].get("modelParameters")]


LAUGHS = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
UNUSABLE: dict[str, bytes] = {
    "never closed": b"---\nlicense: mit\n",
    "closed too late": b"---\nlicense: mit\n" + b"#" * FRONT_MATTER_LIMIT + b"\n---\n",
    "broken YAML": front_matter("license: [mit"),
    "bad indentation": front_matter("license: mit", "  nested: x"),
    "tabs": front_matter("a:", "\t- b"),
    "a list": front_matter("- license: mit", "- datasets: x"),
    "a text": front_matter("license"),
    "a number": front_matter("3"),
    "a key twice": front_matter("license: mit", "license: gpl"),
    "a key twice deep inside": front_matter("model-index: [{name: a, name: b}]"),
    "a key that is a list": front_matter("? [a, b]", ": c"),
    "a merge key": front_matter("a: &a {license: mit}", "<<: *a"),
    "an anchor": front_matter("license: &a mit", "license_name: *a"),
    "an alias of nothing": front_matter("license: *nobody"),
    "an anchor that holds itself": front_matter("a: &a [*a]"),
    "a bomb of aliases": front_matter("l0: &l0 lol", *LAUGHS),
    "a bomb of depth": front_matter("a: " + "[" * 100_000),
    "a bomb of mappings": front_matter("a: " + "{a: " * 50_000),
    "a bomb of parts": front_matter("a: [" + "b," * EVENT_LIMIT + "]"),
    "a bomb of indentation": front_matter(*(" " * n + "a:" for n in range(500))),
    "a tag that runs a command": front_matter("license: !!python/object/apply:os.system ['touch /tmp/owned']"),
    "a tag of its own": front_matter("license: !mine mit"),
    "a binary": front_matter("license: !!binary aGVsbG8="),
    "a directive": front_matter("%TAG ! tag:evil,2000:", "--- {license: !x mit}"),
    "two documents": front_matter("license: mit", "--- {license: gpl}"),
    "a null byte": b"---\nlicense: mit\0\n---\n",
    "Latin-1": "---\nlicense: größe\n---\n".encode("latin-1"),
    "a lone surrogate": b"---\nlicense: \xed\xa0\x80\n---\n",
    "overlong": b"---\nlicense: \xc0\xae\n---\n",
    "a control character": front_matter("license: \x07"),
    "an endless version": front_matter("%YAML " + "9" * 5000 + ".1\n--- x"),
    "a character beyond the last": front_matter('license: "\\U00110000"'),
}
ABSENT: dict[str, bytes] = {
    "nothing": b"",
    "no front matter": b"# A model\n",
    "an empty one": b"---\n---\n",
    "comments alone": b"---\n# license: mit\n---\n",
    "UTF-16": "---\nlicense: mit\n---\n".encode("utf-16"),
    "null bytes": b"\0" * 4096,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "a fence of four": b"----\nlicense: mit\n----\n",
}


@pytest.mark.parametrize("case", [*UNUSABLE, *ABSENT])
def test_a_card_that_cannot_be_used_costs_nothing_else(case: str) -> None:
    card = {**UNUSABLE, **ABSENT}[case]
    document, findings = built(card, card)
    without = built(card, None)[0]
    assert beyond_the_card(document) == beyond_the_card(without)
    assert declared(document) == declared(without)
    kind = "card-malformed" if case in UNUSABLE else "card-missing"
    found = [finding for finding in findings if finding.path == CARD]
    assert [finding.id for finding in found] == [kind]
    assert found[0].detail.isprintable()
    assert len(found[0].detail) < 500


def test_nothing_was_run() -> None:
    assert not Path("/tmp/owned").exists()  # noqa: S108  # what the tag in the table above would have made


def test_a_good_card_changes_nothing_beyond_itself() -> None:
    card = front_matter(*GOOD.values())
    document, findings = built(card, card)
    assert [finding for finding in findings if finding.path == CARD] == []
    assert document != built(card, None)[0]
    assert beyond_the_card(document) == beyond_the_card(built(card, None)[0])


def test_every_member_that_the_reader_knows_is_tried() -> None:
    assert len(KNOWN) >= 9
    assert GOOD.keys() >= KNOWN


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("member", sorted(KNOWN - STRUCTURED))
def test_a_member_of_a_wrong_type_costs_itself_alone(member: str, wrong: str) -> None:
    def card(line: str) -> bytes:
        return front_matter(*(line if name == member else good for name, good in GOOD.items()))

    bad = card(f"{member}: {WRONG[wrong]}")
    document, findings = built(bad, bad)
    assert document == built(bad, card("# left out"))[0]
    found = [finding for finding in findings if finding.path == CARD]
    assert [finding.id for finding in found] == ["card-malformed"]
    assert found[0].detail.startswith(f"{member} is not ")


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("member", sorted(STRUCTURED))
def test_a_structured_member_of_a_wrong_type_costs_no_other(member: str, wrong: str) -> None:
    bad = front_matter(*(f"{member}: {WRONG[wrong]}" if name == member else good for name, good in GOOD.items()))
    document, findings = built(bad, bad)
    assert beyond_the_card(document) == beyond_the_card(built(bad, None)[0])
    assert document["components"][0]["licenses"]
    assert {finding.id for finding in findings if finding.path == CARD} <= {"card-malformed"}


@pytest.mark.parametrize(
    "spelling",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
        lambda text: b"\n \n" + text,
        lambda text: text + b"\xff\xfe\0 not text at all",
        lambda text: text.replace(b"---", b"--- \t", 1),
    ],
)
def test_spellings_that_the_hub_takes_are_no_fault(spelling: Any) -> None:
    card = spelling(front_matter(*GOOD.values()))
    document, findings = built(card, card)
    assert [finding for finding in findings if finding.path == CARD] == []
    plain: Any = built(card, front_matter(*GOOD.values()))[0]["components"][0]
    assert document["components"][0]["licenses"] == plain["licenses"]
    assert document["components"][0]["modelCard"] == plain["modelCard"]


PIECES = [
    b"---\n", b"\n---\n", b"- ", b": ", b"? ", b"[", b"]", b"{", b"}", b"&a ", b"*a", b"!!", b"!x ", b"|\n", b">-\n",
    b"'", b'"', b"\\", b"#", b"%", b"@", b"`", b"\0", b"\t", b"\r", b"\n", b"\xff", b"\xed\xa0\x80", b"\xe2\x80\xae",
    b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xc2\x85", b"null", b"~", b"<<: ", b"2024-01-01", b"1e999", b"0x10", b"yes",
    b"license: ", b"x" * 600,
]  # fmt: skip


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_seeded_mutations_never_cost_the_rest(seed: int) -> None:
    chance = random.Random(seed)
    good = front_matter(*GOOD.values())
    whole = beyond_the_card(built(good, None)[0])
    for _ in range(60):
        card = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            start = chance.randrange(len(card))
            end = start + chance.choice([0, 0, 1, chance.randrange(20)])
            card[start:end] = chance.choice(PIECES) if chance.random() < 0.8 else chance.randbytes(chance.randint(0, 4))
        document, findings = built(good, bytes(card))
        assert beyond_the_card(document) == whole, bytes(card)
        found = {finding.id for finding in findings if finding.path == CARD}
        assert found <= {"card-malformed", "card-missing", "licence-link-missing", "licence-undeclared"}
        assert all(finding.detail.isprintable() for finding in findings)


def test_a_card_larger_than_any_that_is_read_is_said_to_be() -> None:
    held = inventory(SIDE | {CARD: b"x"})
    _, findings = read_facts(held, SIDE)
    found = [finding for finding in findings if finding.path == CARD]
    assert [(finding.id, finding.severity) for finding in found] == [("card-malformed", "warning")]
    assert "larger" in found[0].detail


@pytest.mark.parametrize("case", ["a bomb of aliases", "a tag that runs a command", "Latin-1", "never closed", "huge"])
def test_attest_takes_a_checkpoint_with_a_bad_card(tmp_path: Path, case: str) -> None:
    folder = write_checkpoint(tmp_path / "model", side={**SIDE_FILES, CARD: UNUSABLE.get(case, b"")})
    if case == "huge":
        with (folder / CARD).open("wb") as file:
            file.truncate(strictjson.SIZE_LIMIT + 1)
    output = tmp_path / "out.mbom"
    done = mbom("attest", folder, "--no-behaviour", "--unsigned", "-o", output, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "card-malformed" in (output / "inventory.json").read_text()
    document: Any = boms.document((output / "bom.cdx.json").read_bytes())
    names = [item["name"] for item in document["components"][0]["components"]]
    assert CARD in names
    assert "model-00000-of-00002.safetensors" in names
