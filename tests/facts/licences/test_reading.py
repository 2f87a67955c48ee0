from collections.abc import Mapping

import licencetexts
import pytest

from mbom.digest import sha256
from mbom.facts.card import read_card
from mbom.facts.licences import Licensing, read_licensing
from mbom.facts.licences.text import TEXT_LIMIT
from mbom.facts.licences.texts import TEXTS_LIMIT, TOTAL_LIMIT
from mbom.facts.places import Place
from mbom.inventory import FileRecord, Inventory
from mbom.inventory.record import Finding
from mbom.inventory.roles import CODE, OTHER, WEIGHTS, role
from mbom.source import Origin


def read(
    files: Mapping[str, bytes | str], *, gated: str | None = None, repo: str = "org/name"
) -> tuple[Licensing, list[Finding]]:
    """Read the licences of a checkpoint of these files, with what a scan would keep of them."""
    data = {name: text if isinstance(text, bytes) else text.encode() for name, text in files.items()}
    records = [FileRecord(name=n, size=len(data[n]), sha256=sha256(data[n]), role=role(n)) for n in sorted(data)]
    origin = Origin(kind="hub", name="name", repo=repo, revision="a" * 40)
    inventory = Inventory(origin=origin, files=tuple(records), tensors=())
    side = {name: content for name, content in data.items() if role(name) not in (WEIGHTS, CODE, OTHER)}
    card, _ = read_card(side.get("README.md"))
    licensing, findings = read_licensing(inventory, side, card, gated=gated)
    return licensing, list(findings)


def card(*lines: str) -> str:
    return "\n".join(["---", *lines, "---", "# A model", ""])


def told(licensing: Licensing) -> set[tuple[str, str | None, str | None, str, str]]:
    return {(item.kind, item.value, item.licence, item.basis, str(item.place)) for item in licensing.restrictions}


def ids(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.id, finding.path) for finding in findings]


LLAMA4 = licencetexts.text("llama-4-cla-2025")
POLICY4 = licencetexts.text("llama-4-license-2025")
APACHE = licencetexts.text("apache-2.0")
DEEPSEEK = licencetexts.text("deepseek-la-1.0")


def test_a_plain_checkpoint_has_its_licence_declared_and_shown_and_no_finding() -> None:
    licensing, findings = read({"README.md": card("license: apache-2.0"), "LICENSE": APACHE})
    assert findings == []
    assert [(item.label, item.keys) for item in licensing.declared] == [("apache-2.0", ("apache-2.0",))]
    assert [(text.file, text.keys, text.sha256) for text in licensing.texts] == [
        ("LICENSE", ("apache-2.0",), sha256(APACHE.encode()))
    ]
    assert [(item.kind, item.basis) for item in licensing.restrictions] == [
        ("attribution", "text"),
        ("patent-termination", "text"),
    ]
    assert licensing.places == {"licence:declared": Place(file="README.md", line=2)}


def test_the_exclusion_of_the_eu_is_read_in_the_policy_and_not_in_the_licence() -> None:
    files = {"README.md": card("license: llama4"), "LICENSE": LLAMA4, "USE_POLICY.md": POLICY4}
    licensing, findings = read(files)
    assert findings == []
    (exclusion,) = [item for item in licensing.restrictions if item.kind == "geographic-exclusion"]
    assert (exclusion.value, exclusion.licence, exclusion.basis) == ("EU", "llama-4-license-2025", "text")
    assert exclusion.scope is not None
    assert "multimodal" in exclusion.scope
    assert exclusion.place is not None
    assert exclusion.place.file == "USE_POLICY.md"
    line = POLICY4.split("\n")[(exclusion.place.line or 0) - 1]
    assert "European Union" in line


def test_a_policy_that_is_part_of_a_licence_holds_where_its_text_is_not_there() -> None:
    licensing, _ = read({"README.md": card("license: llama4"), "LICENSE": LLAMA4})
    clause = next(number for number, line in enumerate(LLAMA4.split("\n"), 1) if "adhere to the Acceptable Use" in line)
    place = f"LICENSE:{clause}"
    assert ("military", None, "llama-4-license-2025", "reference", place) in told(licensing)
    assert ("geographic-exclusion", "EU", "llama-4-license-2025", "reference", place) in told(licensing)


def test_a_licence_that_is_only_declared_restricts_all_the_same() -> None:
    licensing, findings = read({"README.md": card("language: en", "license: llama3.1")})
    assert findings == []
    assert ("user-cap", "700000000", "llama-3.1-license-2024", "declared", "README.md:3") in told(licensing)
    assert ("military", None, "llama-3.1-license-2024", "declared", "README.md:3") in told(licensing)


def test_of_an_altered_licence_nothing_is_told_that_it_does_not_say() -> None:
    text = licencetexts.text("nvidia-open-model-2025-04-28")
    clause = text[text.index("If You bypass") : text.index("NVIDIA may update this Agreement")]
    licensing, findings = read({"README.md": card("license: other", "license_name: nvidia-open-model-license"),
                                "LICENSE": text.replace(clause, "")})  # fmt: skip
    assert ids(findings) == [("licence-text-altered", "LICENSE")]
    assert "another version, or altered" in findings[0].detail
    assert "guardrail-termination" not in {item.kind for item in licensing.restrictions}
    assert "patent-termination" in {item.kind for item in licensing.restrictions}


def test_the_short_notice_of_a_licence_brings_its_restrictions() -> None:
    notice = APACHE[APACHE.index("Licensed under the Apache") :]
    licensing, findings = read({"README.md": card("license: apache-2.0"), "LICENSE": notice})
    assert findings == []
    assert {(item.kind, item.basis, str(item.place)) for item in licensing.restrictions} == {
        ("attribution", "reference", "LICENSE:1"),
        ("patent-termination", "reference", "LICENSE:1"),
    }


def test_words_beside_a_licence_are_a_finding_with_their_number() -> None:
    _, findings = read({"README.md": card("license: apache-2.0"), "LICENSE": APACHE + "\nNot for use on Mondays.\n"})
    assert ids(findings) == [("licence-text-altered", "LICENSE")]
    assert "and 5 words that are not part of it" in findings[0].detail


@pytest.mark.parametrize(
    ("declared", "files", "expected"),
    [
        (["license: mit"], {"LICENSE": APACHE}, ["LICENSE"]),
        (["license: gpl-3.0"], {"LICENSE": APACHE}, ["LICENSE"]),
        (["license: apache-2.0"], {"LICENSE": LLAMA4, "USE_POLICY.md": POLICY4}, ["LICENSE"]),
        (["license: apache-2.0"], {"LICENSE": APACHE, "LICENSE-MODEL": DEEPSEEK}, ["LICENSE-MODEL"]),
        (["license: gemma"], {"LICENSE": licencetexts.text("gemma-tou-2024-04-01")}, []),
        (["license: apache-2.0"], {"LICENSE": APACHE, "LICENSE-CODE": licencetexts.text("mit")}, []),
        (["license: other", "license_name: deepseek"],
         {"LICENSE-CODE": licencetexts.text("mit"), "LICENSE-MODEL": DEEPSEEK}, []),
        (["license: [apache-2.0, mit]"], {"LICENSE": APACHE}, ["LICENSE"]),
        (["license: other", "license_name: house-terms"], {"LICENSE": APACHE}, []),
        (["license: mit"], {"LICENSE": "Ask us."}, []),
        (["license: mit"], {}, []),
        (["language: en"], {"LICENSE": APACHE}, []),
    ],
)  # fmt: skip
def test_declared_and_shown_are_compared(declared: list[str], files: dict[str, str], expected: list[str]) -> None:
    licensing, findings = read({"README.md": card(*declared), **files})
    assert [finding.path for finding in findings if finding.id == "licence-disagrees"] == expected
    assert [file for file, _ in licensing.disagreements] == expected


def test_a_disagreement_names_both_sides() -> None:
    _, findings = read({"README.md": card("license: mit"), "LICENSE": APACHE})
    assert findings[0].detail == "the card declares mit; LICENSE is Apache License 2.0"
    files = {"README.md": card("license: apache-2.0"), "LICENSE": APACHE, "LICENSE-MODEL": LLAMA4}
    _, findings = read(files)
    assert "acceptable-use-policy, geographic-exclusion, military, naming, user-cap" in findings[0].detail


@pytest.mark.parametrize(
    ("lines", "missing"),
    [
        (["license: apache-2.0", "base_model: meta-llama/Llama-3.1-8B"],
         "acceptable-use-policy, military, naming, user-cap"),
        (["license: mit", "base_model: google/gemma-3-4b-it"], "acceptable-use-policy, pass-through"),
        (["license: gpl-3.0", "base_model: google/gemma-3-4b-it"], "acceptable-use-policy, pass-through"),
        (["license: apache-2.0", "base_model: [Qwen/Qwen2.5-3B, Qwen/Qwen2.5-7B]"], "naming, non-commercial"),
        (["license: llama3.1", "base_model: meta-llama/Llama-3.2-11B-Vision"], "geographic-exclusion"),
        (["license: other", "license_name: qwen", "base_model: meta-llama/Llama-2-7b"],
         "acceptable-use-policy, military, output-training-ban"),
        (["license: llama3.1", "base_model: meta-llama/Llama-3.1-8B"], None),
        (["license: [apache-2.0, llama3.1]", "base_model: meta-llama/Llama-3.1-8B"], None),
        (["license: mit", "base_model: Qwen/Qwen2.5-7B"], None),
        (["license: cc-by-nc-4.0", "base_model: org/unknown"], None),
        (["license: other", "license_name: house-terms", "base_model: meta-llama/Llama-3.1-8B"], None),
        (["base_model: meta-llama/Llama-3.1-8B"], None),
    ],
)  # fmt: skip
def test_a_derivative_that_declares_more_than_its_base_gave(lines: list[str], missing: str | None) -> None:
    licensing, findings = read({"README.md": card(*lines)})
    found = [finding for finding in findings if finding.id == "licence-wider-than-base"]
    assert [", ".join(item.missing) for item in licensing.wider] == ([] if missing is None else [missing])
    assert len(found) == len(licensing.wider)
    if missing is not None:
        assert f"demands: {missing} (" in found[0].detail


def test_a_lower_cap_covers_a_higher_one_and_not_the_other_way() -> None:
    lower, _ = read({"README.md": card("license: other", "license_name: qwen", "base_model: meta-llama/Llama-4-Scout")})
    assert "user-cap" not in lower.wider[0].missing
    higher, _ = read({"README.md": card("license: llama4", "base_model: Qwen/Qwen2.5-72B")})
    assert higher.wider[0].missing == ("user-cap",)


@pytest.mark.parametrize(
    ("link", "declared", "finding"),
    [
        ("LICENSE", ("qwen-2024",), []),
        ("./LICENSE", ("qwen-2024",), []),
        ("https://huggingface.co/org/name/blob/main/LICENSE", ("qwen-2024",), []),
        ("https://huggingface.co/other/name/blob/main/LICENSE", (), []),
        ("LICENSE.txt", (), ["licence-link-missing"]),
        ("terms.zip", (), ["licence-text-unread"]),
        ("https://example.org/LICENSE", (), []),
        ("README.md", (), []),
    ],
)
def test_the_linked_file_says_what_other_means(link: str, declared: tuple[str, ...], finding: list[str]) -> None:
    files = {
        "README.md": card("license: other", f"license_link: {link}"),
        "LICENSE": licencetexts.text("qwen-2024"),
        "terms.zip": "?",
    }
    licensing, findings = read(files)
    assert licensing.declared[0].keys == declared
    assert [item.id for item in findings] == finding


def test_an_unknown_text_is_said_to_be_unknown() -> None:
    files = {
        "README.md": card("license: other"),
        "LICENSE": "Do as we say.",
        "USE_POLICY.md": "Be good.",
        "NOTICE": "A",
    }
    licensing, findings = read(files)
    assert ids(findings) == [("licence-text-unknown", "LICENSE"), ("licence-text-unknown", "USE_POLICY.md")]
    assert [text.keys for text in licensing.texts] == [(), (), ()]
    assert licensing.restrictions == ()


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"\xff\xd8\xff\xe0 an image", "not a text in UTF-8 at byte 0"),
        (b"x" * (TEXT_LIMIT + 1), f"the longest licence text that is read has {TEXT_LIMIT}"),
    ],
)
def test_a_file_that_is_no_text_costs_only_itself(data: bytes, detail: str) -> None:
    files: dict[str, bytes | str] = {"README.md": card("license: llama4"), "LICENSE": data, "USE_POLICY.md": POLICY4}
    licensing, findings = read(files)
    assert ids(findings) == [("licence-text-unread", "LICENSE")]
    assert detail in findings[0].detail
    assert licensing.keys("USE_POLICY.md") == ("llama-4-license-2025",)
    assert licensing.keys("LICENSE") == ()


def test_a_flood_of_licences_cannot_hide_the_linked_one() -> None:
    flood = {f"a{number:03}/LICENSE": "nothing" for number in range(TEXTS_LIMIT + 5)}
    files = {"README.md": card("license: other", "license_link: z/LICENSE"), "z/LICENSE": APACHE, "LICENSE": LLAMA4}
    licensing, findings = read({**flood, **files})
    assert licensing.keys("z/LICENSE") == ("apache-2.0",)
    assert licensing.keys("LICENSE") == ("llama-4-cla-2025",)
    unread = [finding for finding in findings if finding.id == "licence-text-unread"]
    assert len(unread) == 7
    assert f"more than {TEXTS_LIMIT}" in unread[0].detail


def test_many_long_texts_are_not_all_read() -> None:
    long = b"word " * (TEXT_LIMIT // 5)
    count = TOTAL_LIMIT // len(long) + 3
    licensing, findings = read({"LICENSE": APACHE, **{f"b{number:02}/LICENSE": long for number in range(count)}})
    assert licensing.keys("LICENSE") == ("apache-2.0",)
    unread = [finding.path for finding in findings if finding.id == "licence-text-unread"]
    assert unread == [f"b{number:02}/LICENSE" for number in range(count - len(unread), count)]
    assert len(unread) == 4  # LICENSE itself takes some of it


def test_a_card_without_a_licence_is_a_note_and_no_card_is_the_cards_own() -> None:
    assert ids(read({"README.md": card("language: en")})[1]) == [("licence-undeclared", "README.md")]
    assert read({"README.md": "# A model\n"})[1] == []
    assert read({})[1] == []


def test_a_gate_is_a_restriction_that_the_hub_tells_of() -> None:
    licensing, _ = read({"README.md": card("license: mit")}, gated="manual")
    assert ("gated", "manual", None, "hub", "None") in told(licensing)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (APACHE, True),
        (licencetexts.text("mit") + "\n" + APACHE, True),
        (LLAMA4, False),
        (APACHE + "\nNot for commercial use.", None),
        (APACHE.replace("perpetual", "revocable"), None),
        (licencetexts.text("mit") + LLAMA4, False),
        ("Do as we say.", None),
    ],
)
def test_whether_a_file_is_open(text: str, expected: bool | None) -> None:
    assert read({"LICENSE": text})[0].is_open("LICENSE") is expected
    assert read({"LICENSE": text})[0].is_open("COPYING") is None


def test_names_and_links_have_their_places() -> None:
    licensing, _ = read({"README.md": card("license: other", "license_name: qwen", "license_link: LICENSE")})
    assert {name: str(place) for name, place in licensing.places.items()} == {
        "licence:declared": "README.md:2",
        "licence:declared:name": "README.md:3",
        "licence:declared:link": "README.md:4",
    }
