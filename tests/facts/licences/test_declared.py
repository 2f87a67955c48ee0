import pytest

from mbom.facts.card import Licence
from mbom.facts.licences import is_open
from mbom.facts.licences.declared import common_terms, declared, keys_of

LLAMA4 = "acceptable-use-policy attribution geographic-exclusion military naming patent-termination user-cap"


@pytest.mark.parametrize(
    ("licence", "keys"),
    [
        (Licence(ids=("apache-2.0",)), [("apache-2.0",)]),
        (Licence(ids=("Apache-2.0",)), [("apache-2.0",)]),
        (Licence(ids=("llama3.1",)), [("llama-3.1-license-2024",)]),
        (Licence(ids=("mit", "llama4")), [("mit",), ("llama-4-cla-2025",)]),
        (Licence(ids=("gemma",)), [("gemma-tou-2024-02-21", "gemma-tou-2024-04-01", "gemma-tou-2025-03-24")]),
        (Licence(ids=("other",), name="NVIDIA Open Model License"), [("nvidia-open-model-2025-04-28",)]),
        (Licence(ids=("other",), name="nvidia-nemotron-open-model-license"),
         [("nvidia-nemotron-open-model-2025-12-15",)]),
        (Licence(ids=("other",), name="Qwen_Research"), [("qwen-research-2024",)]),
        (Licence(ids=(), name="mrl"), [("mistral-research-0.1",)]),
        (Licence(ids=("other",), link="https://mistral.ai/licenses/MNPL-0.1.md"), [("mistral-non-production-0.1",)]),
        (Licence(ids=("other",), link="https://www.apache.org/licenses/LICENSE-2.0.txt"), [("apache-2.0",)]),
        (Licence(ids=("other",), link="https://opensource.org/license/mit-0"), [()]),
        (Licence(ids=("other",), name="modified-mit"),
         [("mistral-modified-mit-2026", "moonshot-ai-modified-mit-2025")]),
        (Licence(ids=("other",), name="my-own-terms"), [()]),
        (Licence(ids=("other",)), [()]),
        (Licence(ids=("gpl-3.0",)), [()]),
        (None, []),
    ],
)  # fmt: skip
def test_what_the_words_of_a_card_mean(licence: Licence | None, keys: list[tuple[str, ...]]) -> None:
    assert [item.keys for item in declared(licence, ())] == keys


def test_a_linked_file_says_what_other_is() -> None:
    licence = Licence(ids=("other",), name="my-own-terms", link="LICENSE")
    assert [(item.label, item.keys) for item in declared(licence, ("qwen-2024",))] == [("my-own-terms", ("qwen-2024",))]


def test_of_a_family_only_what_all_its_members_restrict_is_told() -> None:
    (kimi,) = declared(Licence(ids=("other",), name="modified-mit"), ())
    assert {term.kind for term in kimi.terms} == {"attribution"}  # one caps users, the other forbids large companies
    (rail,) = declared(Licence(ids=("openrail",)), ())
    assert {term.kind for term in rail.terms} >= {"acceptable-use-policy", "patent-termination", "pass-through"}


def test_a_licence_has_the_restrictions_of_the_policy_that_is_part_of_it() -> None:
    assert {term.kind for term in common_terms(("llama-4-cla-2025",))} == set(LLAMA4.split())
    exclusions = [term for term in common_terms(("llama-4-cla-2025",)) if term.kind == "geographic-exclusion"]
    assert [term.value for term in exclusions] == ["EU"]
    assert exclusions[0].scope is not None
    assert exclusions[0].scope.startswith("multimodal models")


@pytest.mark.parametrize(
    ("key", "kinds"),
    [
        ("mit", "attribution"),
        ("apache-2.0", "attribution patent-termination"),
        ("llama-2-license-2023",
         "acceptable-use-policy attribution military output-training-ban patent-termination user-cap"),
        ("llama-3-license-2024",
         "acceptable-use-policy attribution military naming output-training-ban patent-termination user-cap"),
        ("llama-3.1-license-2024", "acceptable-use-policy attribution military naming patent-termination user-cap"),
        ("llama-3.2-license-2024", LLAMA4),
        ("llama-3.3-license-2024", LLAMA4),
        ("llama-4-cla-2025", LLAMA4),
        ("gemma-tou-2025-03-24", "acceptable-use-policy attribution pass-through"),
        ("qwen-2024", "attribution naming patent-termination user-cap"),
        ("qwen-research-2024", "attribution naming non-commercial patent-termination"),
        ("tongyi-qianwen-2023", "attribution output-training-ban patent-termination user-cap"),
        ("deepseek-la-1.0", "acceptable-use-policy attribution military pass-through patent-termination"),
        ("nvidia-open-model-2025-04-28",
         "acceptable-use-policy attribution guardrail-termination naming patent-termination"),
        ("nvidia-nemotron-open-model-2025-12-15", "attribution patent-termination"),
        ("mistral-research-0.1", "attribution non-commercial pass-through patent-termination"),
        ("mistral-non-production-0.1", "attribution non-commercial pass-through patent-termination"),
        ("mistral-modified-mit-2026", "attribution pass-through revenue-cap"),
        ("moonshot-ai-modified-mit-2025", "attribution naming revenue-cap user-cap"),
        ("cc-by-nc-sa-4.0", "attribution non-commercial pass-through"),
        ("cc-by-nd-4.0", "attribution no-derivatives"),
        ("cc0-1.0", ""),
    ],
)  # fmt: skip
def test_what_each_family_restricts(key: str, kinds: str) -> None:
    assert {term.kind for term in common_terms((key,))} == set(kinds.split())


@pytest.mark.parametrize(("key", "cap"), [("llama-4-cla-2025", 700_000_000), ("qwen-2024", 100_000_000)])
def test_a_user_cap_has_its_number(key: str, cap: int) -> None:
    assert [term.value for term in common_terms((key,)) if term.kind == "user-cap"] == [str(cap)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("apache-2.0", True), ("Apache-2.0", True), ("MIT", True), ("bsd", True), ("cc-by-4.0", True),
        ("openmdw-1.1", True), ("gpl-3.0", True), ("cdla-permissive-2.0", True),
        ("llama4", False), ("gemma", False), ("qwen-2024", False), ("openrail", False), ("cc-by-nc-4.0", False),
        ("modified-mit", False), ("nvidia-nemotron-open-model-license", False),
            ("cc", None),
        ("other", None), ("unknown", None), ("my-own-terms", None), ("", None),
    ],
)  # fmt: skip
def test_which_licences_are_open(name: str, expected: bool | None) -> None:
    assert is_open(name) is expected


def test_a_key_is_a_name_of_itself() -> None:
    assert keys_of("llama-4-license-2025") == ("llama-4-license-2025",)
