import re
from datetime import date
from fnmatch import fnmatchcase

import licencetexts
import pytest
from cyclonedx.spdx import fixup_id
from licencetexts import KEYS

from fixtures.licences.make import OPENING, describe
from mbom.facts.licences.table import table
from mbom.facts.licences.text import words_of
from mbom.facts.licences.vocabulary import BINDING, RESTRICTIONS

ENTRIES = table().entries
# What a checkpoint is most often under; every one of these must be known.
NAMED = """
    apache-2.0 mit bsd-new bsd-simplified openmdw-1.0 openmdw-1.1 cc-by-4.0 cc-by-nc-4.0 cc-by-sa-4.0 cc-by-nc-sa-4.0
    llama-2-license-2023 llama-3-license-2024 llama-3.1-license-2024 llama-3.2-license-2024 llama-3.3-license-2024
    llama-4-cla-2025 llama-4-license-2025 gemma-tou-2024-04-01 gemma-tou-2025-03-24 gemma-pup-2024-02-21
    qwen-2024 qwen-research-2024 tongyi-qianwen-2023 deepseek-la-1.0 moonshot-ai-modified-mit-2025
    nvidia-open-model-2025-04-28 nvidia-nemotron-open-model-2025-12-15 mistral-research-0.1 mistral-non-production-0.1
    stable-diffusion-2022-08-22 bigscience-open-rail-m bigscience-open-rail-m2 bigscience-rail-1.0
    bigcode-open-rail-m-v1
"""


def test_every_licence_that_must_be_known_is() -> None:
    assert set(NAMED.split()) <= ENTRIES.keys()


@pytest.mark.parametrize("key", ENTRIES)
def test_an_entry_is_whole_and_has_its_sources(key: str) -> None:
    entry = ENTRIES[key]
    assert 3 <= len(entry.anchors) <= 5
    assert all(len(anchor.split()) >= 2 for anchor in entry.anchors)
    assert entry.spdx.startswith("LicenseRef-") or fixup_id(entry.spdx) == entry.spdx
    assert re.fullmatch(r"[\w.-]+", entry.spdx)
    assert entry.url.startswith("https://")
    assert date.fromisoformat(entry.date)
    assert entry.texts
    assert [text.words for text in entry.texts] == sorted((text.words for text in entry.texts), reverse=True)
    assert all(text.source.startswith("https://") for text in entry.texts)
    assert all(len(text.opening.split()) == OPENING for text in entry.texts)
    assert {*entry.incorporates, *entry.contains} <= ENTRIES.keys()
    assert all(ENTRIES[policy].kind == "policy" for policy in entry.incorporates)
    assert all(name == name.casefold() for name in (*entry.hub_ids, *entry.names))


@pytest.mark.parametrize("key", ENTRIES)
def test_restrictions_are_of_the_vocabulary_and_caps_have_numbers(key: str) -> None:
    for term in ENTRIES[key].terms:
        assert term.kind in RESTRICTIONS
        if term.kind.endswith("-cap"):
            assert term.value is not None
            assert int(term.value) >= 1_000_000
        if term.kind in ("geographic-exclusion", "naming"):
            assert term.value
    assert not (ENTRIES[key].open and BINDING & {term.kind for term in ENTRIES[key].terms} - {"pass-through"})


@pytest.mark.parametrize("key", KEYS)
def test_a_committed_text_has_the_digest_the_marks_and_the_restrictions_of_its_entry(key: str) -> None:
    entry, text = ENTRIES[key], licencetexts.text(key).encode()
    joined = words_of(text).joined
    assert describe(text)["sha256"] in {reference.sha256 for reference in entry.texts}
    assert all(anchor in joined for anchor in entry.anchors)
    assert not any(phrase in joined for phrase in entry.absent)
    assert all(term.phrase in joined for term in entry.terms)


def test_no_text_has_all_marks_of_another_that_it_does_not_repeat() -> None:
    for key in KEYS:
        joined = words_of(licencetexts.text(key).encode()).joined
        marked = {
            other.key
            for other in ENTRIES.values()
            if all(anchor in joined for anchor in other.anchors)
            and not any(phrase in joined for phrase in other.absent)
        }
        assert marked == {key, *ENTRIES[key].contains}


def test_no_two_entries_share_a_text() -> None:
    digests = [text.sha256 for entry in ENTRIES.values() for text in entry.texts]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("repository", "licence"),
    [
        ("meta-llama/Llama-2-7b-hf", "llama-2-license-2023"),
        ("meta-llama/Meta-Llama-3-8B-Instruct", "llama-3-license-2024"),
        ("meta-llama/Meta-Llama-3.1-405B", "llama-3.1-license-2024"),
        ("META-LLAMA/llama-3.1-8b", "llama-3.1-license-2024"),
        ("meta-llama/Llama-4-Scout-17B-16E", "llama-4-cla-2025"),
        ("google/gemma-3-27b-it", "gemma-tou-2025-03-24"),
        ("google/gemma-4-31b-it", None),  # Apache-2.0
        ("Qwen/Qwen2.5-72B-Instruct", "qwen-2024"),
        ("Qwen/Qwen2.5-7B", None),  # Apache-2.0
        ("deepseek-ai/DeepSeek-V3", "deepseek-la-1.0"),
        ("deepseek-ai/DeepSeek-V3-0324", None),  # MIT
        ("mistralai/Mistral-Large-Instruct-2407", "mistral-research-0.1"),
        ("someone/Llama-3.1-8B", None),
    ],
)
def test_what_is_known_of_base_models(repository: str, licence: str | None) -> None:
    base = table().base(repository)
    assert (base.licence if base else None) == licence


def test_bases_have_sources_and_no_pattern_hides_another() -> None:
    for number, base in enumerate(table().bases):
        assert base.licence in ENTRIES
        assert base.source.startswith("https://")
        assert date.fromisoformat(base.date)
        assert not any(fnmatchcase(base.pattern, earlier.pattern) for earlier in table().bases[:number])
