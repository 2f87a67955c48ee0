import random
import time

import pytest

from mbom.facts.card import FRONT_MATTER_LIMIT, Card, Licence, read_card
from mbom.facts.evaluations import Evaluations
from mbom.facts.plainyaml import EVENT_LIMIT

GPT_OSS = b"""---
license: apache-2.0
pipeline_tag: text-generation
library_name: transformers
tags:
- vllm
---

# gpt-oss
"""

DERIVED = b"""---
language:
- en
- no          # Norwegian, which YAML 1.1 reads as false
license: other
license_name: modified-mit
license_link: LICENSE
base_model: [org/first, org/second]
base_model_relation: merge
datasets:
- org/data
- org/data
- 2024-01-01
model-index:
- name: x
  results: []
---
"""


def front_matter(text: str) -> bytes:
    return f"---\n{text}\n---\n".encode()


def malformed(data: bytes) -> str:
    """Return what the one finding of a card says whose front matter cannot be used at all."""
    card, findings = read_card(data)
    assert card == Card()
    assert [(finding.id, finding.severity, finding.path) for finding in findings] == [
        ("card-malformed", "warning", "README.md")
    ]
    assert findings[0].detail.isprintable()
    return findings[0].detail


def test_a_card_gives_what_its_front_matter_says() -> None:
    assert read_card(GPT_OSS) == (
        Card(
            licence=Licence(ids=("apache-2.0",)),
            pipeline_tag="text-generation",
            library="transformers",
            tags=("vllm",),
        ),
        (),
    )


def test_texts_stay_texts_and_lists_keep_their_order() -> None:
    card, findings = read_card(DERIVED)
    assert findings == ()
    assert card == Card(
        licence=Licence(ids=("other",), name="modified-mit", link="LICENSE"),
        base_models=("org/first", "org/second"),
        base_model_relation="merge",
        datasets=("org/data", "2024-01-01"),
        languages=("en", "no"),
    )


@pytest.mark.parametrize(
    ("licence", "label"),
    [
        (Licence(ids=("apache-2.0",)), "apache-2.0"),
        (Licence(ids=("mit", "cc-by-4.0")), "mit, cc-by-4.0"),
        (Licence(ids=("other",), name="modified-mit"), "modified-mit"),
        (Licence(ids=("mit",), name="modified-mit"), "mit"),
        (Licence(ids=(), link="LICENSE"), "unnamed"),
    ],
)
def test_a_licence_has_a_label(licence: Licence, label: str) -> None:
    assert licence.label == label


@pytest.mark.parametrize(
    "data",
    [
        GPT_OSS.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + GPT_OSS,
        b"\n\n" + GPT_OSS,
        GPT_OSS + b"\xff\xfe not UTF-8, but not front matter either",
        GPT_OSS.rstrip(),
        GPT_OSS.partition(b"\n\n#")[0],  # the file ends with the fence
    ],
)
def test_spellings_of_the_fences_that_the_hub_accepts(data: bytes) -> None:
    card, findings = read_card(data)
    assert card.licence == Licence(ids=("apache-2.0",))
    assert findings == ()


@pytest.mark.parametrize(
    "data", [None, b"", b"# A model\n", b"----\nlicense: mit\n----\n", b"---\n---\n", b"---\n# x\n---"]
)
def test_a_card_without_front_matter_is_noted(data: bytes | None) -> None:
    card, findings = read_card(data)
    assert card == Card()
    assert [(finding.id, finding.severity) for finding in findings] == [("card-missing", "note")]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"---\nlicense: mit\n", "does not end"),
        (b"---\nlicense: mit\n" + b"#" * FRONT_MATTER_LIMIT + b"\n---\n", "does not end"),
        (b"---\nlicense: \xff\n---\n", "not UTF-8"),
        (front_matter("license: [mit"), "not YAML"),
        (front_matter("license: mit\n  nested: x"), "not YAML"),
        (front_matter("license: \x07"), "not YAML"),
        (front_matter('license: "\\U00110000"'), "not YAML"),
        (front_matter("%YAML " + "9" * 5000 + ".1\n--- x"), "not YAML"),
        (front_matter("- license"), "not a mapping"),
        (front_matter("license"), "not a mapping"),
        (front_matter("license: mit\nlicense: gpl"), "twice"),
        (front_matter("? [a]\n: b"), "a key that is not text"),
        (front_matter("license: mit\n--- {license: gpl}"), "second YAML document"),
        (front_matter("a: &a [x]\nb: *a"), "anchor or alias"),
        (front_matter("license: &a mit"), "anchor or alias"),
        (front_matter("license: !!python/object/apply:os.system ['true']"), "tag"),
        (front_matter("license: !!binary aGVsbG8="), "tag"),
        (front_matter("license: ! mit"), "tag"),
        (front_matter("a: " + "[" * 100_000), "deeper"),
        (front_matter("- " * 100), "deeper"),
        (front_matter("a: [" + "b," * EVENT_LIMIT + "]"), "parts"),
    ],
)
def test_front_matter_that_cannot_be_used_is_a_warning(data: bytes, reason: str) -> None:
    assert reason in malformed(data)


def test_a_laughing_yaml_does_not_laugh() -> None:
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10)]
    before = time.monotonic()
    assert "anchor" in malformed(front_matter("\n".join(["l0: &l0 lol", *levels])))
    assert time.monotonic() - before < 1


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("license: {id: gpl}", "license"),
        ("license: [[gpl]]", "license"),
        ("license: ''", "license"),
        (f"license: {'x' * 513}", "license"),
        ('license: "a\\u202eb"', "license"),
        ('license: "a\\e[31m"', "license"),
        ('license: "\\ud800"', "license"),
        (f"datasets: [{', '.join(f'd{n}' for n in range(257))}]", "datasets"),
        ("license_name: [x]", "license_name"),
        ("pipeline_tag: {}", "pipeline_tag"),
        ("base_model_relation: improved", "base_model_relation"),
        ("language: [en, {}]", "language"),
        ("base_model: [a, ]\nbase_model_relation: merge\nlibrary_name: [x]", "library_name"),
    ],
)
def test_a_member_of_a_wrong_type_costs_no_other(line: str, name: str) -> None:
    card, findings = read_card(front_matter(f"{line}\nlicense_link: LICENSE"))
    assert card.licence is not None
    assert card.licence.link == "LICENSE"
    assert [finding.id for finding in findings] == ["card-malformed"]
    assert findings[0].detail.startswith(f"{name} is not ")


def test_evaluated_datasets_are_taken_from_whatever_of_the_model_index_has_its_form() -> None:
    card, findings = read_card(
        front_matter(
            "new_version: org/next\nmodel-index:\n- name: x\n  results:\n  - dataset: {type: cais/mmlu, name: MMLU}\n"
            "  - dataset: {type: cais/mmlu}\n  - dataset: squad\n  - {}\n  - dataset: {type: [a]}\n- results: 3\n- 4\n"
            "- results: [{dataset: {type: gsm8k}}]"
        )
    )
    assert [finding.detail.partition(" ")[0] for finding in findings] == ["8"]  # of which none is a whole result
    assert card == Card(successor="org/next", evaluated=("cais/mmlu", "gsm8k"), evaluations=Evaluations(unreadable=8))
    assert {name: place.line for name, place in card.places.items()} == {"new_version": 2, "model-index": 3}


@pytest.mark.parametrize("null", ["", "~", "null"])
def test_a_null_is_absent(null: str) -> None:
    assert read_card(front_matter(f"license: {null}\ndatasets: {null}\npipeline_tag: {null}")) == (Card(), ())


def test_mutated_cards_end_in_a_card_and_findings() -> None:
    chance = random.Random(0)
    alphabet = b"-:[]{}&*!|>'\"%@`#,?\n\r\t \x00\xff\x85~<ab01\\"
    outcomes = set()
    for _ in range(1500):
        data = bytearray(chance.choice([GPT_OSS, DERIVED]))
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = bytes(chance.choices(alphabet, k=chance.randrange(4)))
        card, findings = read_card(bytes(data))
        outcomes.add((card.licence is not None, tuple(finding.id for finding in findings)))
    assert {(True, ()), (False, ("card-malformed",)), (True, ("card-malformed",))} <= outcomes
