import random
import time

import licencetexts
import pytest
from licencetexts import COPIES, KEYS

from mbom.errors import FormatError
from mbom.facts.licences.matching import Identified, identify
from mbom.facts.licences.table import table
from mbom.facts.licences.text import words_of

ALIKE = {"bsd-new": ("bsd-simplified",)}  # without its third clause, that is what it looks like


def found(text: str) -> Identified:
    return identify(words_of(text.encode()))


def matches(text: str) -> list[tuple[str, str]]:
    return [(match.key, match.how) for match in found(text).matches]


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("key", KEYS)
def test_a_copy_of_a_text_is_that_text_and_nothing_else(key: str, copy: str) -> None:
    assert matches(COPIES[copy](licencetexts.text(key))) == [(key, "exact")]


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_word_is_never_the_original(key: str) -> None:
    words = licencetexts.text(key).split(" ")
    places = [place for place, word in enumerate(words) if word.strip().isalpha() and len(word.strip()) > 3]
    chosen = random.Random(key).sample(places, 12)
    for place in chosen:
        changed = " ".join([*words[:place], "xyzzy", *words[place + 1 :]])
        assert [how for _, how in matches(changed) if how == "exact"] == []
        assert {name for name, _ in matches(changed)} <= {key, *table().entries[key].contains, *ALIKE.get(key, ())}


@pytest.mark.parametrize("key", [key for key in KEYS if len(licencetexts.text(key)) > 3000])
def test_a_text_without_one_sentence_is_recognised_and_called_altered(key: str) -> None:
    text = licencetexts.text(key)
    middle = text.index(". ", len(text) * 2 // 3) if ". " in text[len(text) * 2 // 3 :] else text.rindex(". ")
    changed = text[: middle - 40] + text[middle:]
    assert [name for name, _ in matches(changed)] == [key]
    assert [how for _, how in matches(changed)] in (["altered"], ["added"])


@pytest.mark.parametrize("key", KEYS)
def test_a_restriction_that_somebody_adds_shows(key: str) -> None:
    known = found(licencetexts.text(key) + "\n\nYou must not use the model in the month of May.\n")
    assert [(match.key, match.how) for match in known.matches] == [(key, "added")]
    assert known.other_words == 11


def test_each_restriction_has_the_line_that_states_it() -> None:
    text = licencetexts.text("llama-3.1-license-2024")
    lines = text.split("\n")
    (match,) = found(text).matches
    told = {term.kind: lines[line - 1] for term, line in match.stated}
    assert told.keys() == {"acceptable-use-policy", "attribution", "naming", "patent-termination", "user-cap"}
    assert "700 million" in told["user-cap"]
    assert "beginning of any such AI model name" in told["naming"]


def test_of_an_altered_text_only_what_it_still_says_is_told() -> None:
    text = licencetexts.text("deepseek-la-1.0").replace("For military use in any way", "For any purpose whatsoever")
    (match,) = found(text).matches
    assert match.how == "altered"
    assert "military" not in {term.kind for term, _ in match.stated}
    assert "pass-through" in {term.kind for term, _ in match.stated}


def test_two_licences_in_one_file_are_both_told() -> None:
    text = licencetexts.text("mit") + "\n---\n\n" + licencetexts.text("deepseek-la-1.0")
    known = found(text)
    assert [(match.key, match.how) for match in known.matches] == [("mit", "exact"), ("deepseek-la-1.0", "exact")]
    assert known.matches[1].line == licencetexts.text("mit").count("\n") + 4
    assert known.other_words == 0


@pytest.mark.parametrize(("one", "other"), [("qwen-2024", "tongyi-qianwen-2023"), ("cc-by-4.0", "cc-by-nc-4.0")])
def test_two_licences_that_are_alike_are_told_apart_in_one_file(one: str, other: str) -> None:
    assert matches(licencetexts.text(one) + "\n" + licencetexts.text(other)) == [(one, "exact"), (other, "exact")]


def test_a_licence_and_a_notice_in_one_file() -> None:
    notice = "Llama 3.1 is licensed under the Llama 3.1 Community License, Copyright © Meta Platforms, Inc.\n\n"
    known = found(notice + licencetexts.text("llama-3.1-license-2024"))
    assert [(match.key, match.how) for match in known.matches] == [("llama-3.1-license-2024", "added")]
    assert known.other_words == 16


def test_one_of_two_licences_changed() -> None:
    text = licencetexts.text("qwen-2024").replace("100 million", "50 million") + licencetexts.text("mit")
    assert sorted(matches(text)) == [("mit", "added")]  # the number is one of its marks: too far from what is known
    text = licencetexts.text("qwen-2024").replace("natural person", "person") + licencetexts.text("mit")
    assert sorted(matches(text)) == [("mit", "added"), ("qwen-2024", "altered")]


def test_a_modified_mit_is_not_also_the_mit_that_it_repeats() -> None:
    text = licencetexts.text("moonshot-ai-modified-mit-2025")
    assert matches(text) == [("moonshot-ai-modified-mit-2025", "exact")]
    assert matches(text.replace("Kimi K2", "Kimi K2.5")) == [("moonshot-ai-modified-mit-2025", "altered")]


def test_the_short_notice_of_the_apache_licence_is_that_licence() -> None:
    text = licencetexts.text("apache-2.0")
    notice = text[text.index("Copyright [yyyy]") :].replace("[yyyy] [name of copyright owner]", "2026 Somebody")
    (match,) = found(notice).matches
    assert (match.key, match.how, match.stated) == ("apache-2.0", "exact", ())


@pytest.mark.parametrize(
    "cut", [lambda text: text[: text.index("APPENDIX")], lambda text: text[text.index("TERMS AND") :]]
)
def test_the_apache_licence_without_its_appendix_or_its_title(cut: "object") -> None:
    assert callable(cut)
    assert matches(cut(licencetexts.text("apache-2.0"))) == [("apache-2.0", "exact")]


@pytest.mark.parametrize("title", ["MIT License", "# The MIT License (MIT)", "**The MIT License**"])
def test_a_filled_in_mit_licence(title: str) -> None:
    text = f"{title}\n\nCopyright (c) 2023-2025 DeepSeek <a@b.c>\n\n{licencetexts.text('mit')}"
    assert matches(text) == [("mit", "exact")]


def test_openmdw_1_1_is_told_from_1_0_by_the_words_that_differ() -> None:
    text = licencetexts.text("openmdw-1.0").replace("1.0", "1.1").replace("any patent,", "any patent or copyright,")
    assert matches(text) == [("openmdw-1.1", "exact")]


@pytest.mark.parametrize("names", ["gpt-oss-120b", "gpt-oss-20b", "gpt-oss-120b and gpt-oss-20b"])
def test_the_usage_policy_of_gpt_oss(names: str) -> None:
    text = (
        "We aim for our tools to be used safely, responsibly, and democratically, while maximizing your control over "
        f"how you use them. By using OpenAI {names}, you agree to comply with all applicable law.\n"
    )
    assert matches(text) == [("gpt-oss-usage-policy", "exact")]


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# \n", "All rights reserved. Ask us.", "GNU GENERAL PUBLIC LICENSE Version 3", "许可 证"]
)
def test_an_unknown_text_is_unknown(text: str) -> None:
    assert found(text).matches == ()


def test_a_flood_of_openings_takes_no_time_and_hides_at_most_itself() -> None:
    opening = " ".join(table().entries["cc-by-4.0"].texts[0].opening.split()) + " "
    flood = (opening * (900_000 // len(opening))) + "\n"
    began = time.process_time()
    assert [how for _, how in matches(flood + licencetexts.text("mit"))] == ["added"]
    assert time.process_time() - began < 5


@pytest.mark.parametrize("word", ["a", "permission ", "[", "](", "<", "<a ", "1.", "(i) ", "* ", "\u2028", "ﷺ "])
def test_a_megabyte_of_anything_is_read_in_seconds(word: str) -> None:
    data = (word * (1_000_000 // len(word.encode()))).encode()
    began = time.process_time()
    assert identify(words_of(data)).matches == ()
    assert time.process_time() - began < 8


def test_random_damage_never_crashes() -> None:
    seeded = random.Random(4)
    for key in KEYS[:12]:
        data = bytearray(licencetexts.text(key).encode())
        for _ in range(40):
            data[seeded.randrange(len(data))] = seeded.randrange(128)
        try:
            identify(words_of(bytes(data)))
        except FormatError as error:
            assert "not a text" in str(error)  # noqa: PT017 - most damage leaves a text
