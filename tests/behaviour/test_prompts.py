import hashlib
import json
import unicodedata
from dataclasses import replace

import pytest
from syntheticrecords import fixed_prompts

from mbom import strictjson
from mbom.behaviour import prompts
from mbom.behaviour.projection import FIXED as NO_KEY
from mbom.behaviour.projection import challenge_key
from mbom.behaviour.prompts import FIXED_SET, POSITIONS, PROMPTS, TAIL, Prompt, PromptSource
from mbom.errors import FormatError
from mbom.strictjson import Json

CHATS = [source for source in prompts.fixed() if source.kind == "chat"]


def as_json(source: PromptSource) -> Json:
    variants: list[Json] = [
        {"name": variant.name, "messages": list(variant.messages), "tools": list(variant.tools)}
        for variant in source.variants
    ]
    return {"id": source.id, "kind": source.kind, "text": source.text, "variants": variants}


def test_the_fixed_set_never_changes_under_its_name() -> None:
    assert FIXED_SET == "mbom-prompts-1"
    document = strictjson.canonical([as_json(source) for source in prompts.fixed()])
    assert hashlib.sha256(document).hexdigest() == "526bc6ccd0ed0691b048049e2cc68a3bb2d1340db90c066e06f92f509724f850"


def test_the_fixed_set_has_eight_prompts_with_names_of_their_own() -> None:
    assert len({source.id for source in prompts.fixed()}) == len(prompts.fixed()) == PROMPTS


@pytest.mark.parametrize("source", prompts.fixed(), ids=lambda source: source.id)
def test_every_form_is_long_enough_for_any_tokenizer(source: PromptSource) -> None:
    contents = ["".join(str(message["content"]) for message in variant.messages) for variant in source.variants]
    for text in (source.text, *contents):
        assert len(text) >= 2000
        # Words repeat little: compression would be far better on filler.
        assert len(set(text.split())) > 0.45 * len(text.split())


def test_the_fixed_set_covers_many_scripts_early() -> None:
    scripts = {
        unicodedata.name(char, "?").split()[0]
        for source in prompts.fixed()
        for char in source.text[:700]
        if char.isalpha()
    }
    assert scripts >= {
        "LATIN", "CJK", "HIRAGANA", "HANGUL", "CYRILLIC", "ARABIC", "DEVANAGARI", "GREEK", "HEBREW", "THAI",
        "BENGALI", "TAMIL",
    }  # fmt: skip


def test_the_fixed_set_has_every_role_tools_code_and_special_tokens() -> None:
    full = [message for source in CHATS for message in source.variants[0].messages]
    assert {message["role"] for message in full} == {"system", "user", "assistant", "tool"}
    assert any("tool_calls" in message for message in full)
    texts = "\n".join(source.text for source in prompts.fixed())
    for sample in ("def ", "SELECT ", "fn ", "\\int_0^1", '{"tool":', "<|endoftext|>", "\u200d", "\t"):
        assert sample in texts


@pytest.mark.parametrize("source", CHATS, ids=lambda source: source.id)
def test_variants_get_plainer_from_the_first_to_the_last(source: PromptSource) -> None:
    names = [variant.name for variant in source.variants]
    assert names == [name for name in prompts.VARIANTS if name in names]
    assert names[0] == "full"
    for variant in source.variants:
        roles = [message["role"] for message in variant.messages]
        if variant.name not in ("full", "string-arguments"):
            assert not variant.tools
            assert "tool" not in roles
        if variant.name in ("no-system", "user-only"):
            assert "system" not in roles
        if variant.name == "user-only":
            assert roles == ["user"]
        spoken = [role for role in roles if role != "system"]
        if not variant.tools:
            assert spoken == ["user" if turn % 2 == 0 else "assistant" for turn in range(len(spoken))]


def test_arguments_as_text_are_the_arguments() -> None:
    full, texts, *_ = next(source for source in CHATS if source.id == "chat-tools").variants
    assert texts.name == "string-arguments"

    def arguments(messages: tuple[prompts.Message, ...]) -> list[Json]:
        document = json.loads(json.dumps(messages))
        return [call["function"]["arguments"] for message in document for call in message.get("tool_calls", [])]

    wanted = arguments(full.messages)
    found = arguments(texts.messages)
    assert wanted
    assert [json.loads(str(text)) for text in found] == wanted


def test_seeded_ids_are_those_of_the_slow_definition() -> None:
    for number, prompt in enumerate(prompts.seeded(201_088), start=1):
        stream = hashlib.shake_256(b"mbom/v1/seeded-tokens\x00seeded-%d" % number).digest(8 * POSITIONS)
        ids = tuple(int.from_bytes(stream[i : i + 8], "little") % 201_088 for i in range(0, len(stream), 8))
        assert prompt == Prompt(id=f"seeded-{number}", kind="seeded", variant=None, token_ids=ids)
    assert len(prompts.seeded(201_088)) == PROMPTS


def test_seeded_ids_never_change() -> None:
    assert prompts.seeded(32_000)[0].token_ids[:6] == (8912, 18606, 2475, 27372, 30731, 12959)


@pytest.mark.parametrize("vocabulary", [1, 2, 300])
def test_seeded_ids_stay_in_a_small_vocabulary(vocabulary: int) -> None:
    found = {token for prompt in prompts.seeded(vocabulary) for token in prompt.token_ids}
    assert found == set(range(vocabulary))


def test_rendered_and_seeded_prompts_are_accepted() -> None:
    prompts.check(fixed_prompts(100), 100, NO_KEY, what="test")
    prompts.check(prompts.seeded(100), 100, NO_KEY, what="test")
    plain = tuple(replace(prompt, variant="plain") if prompt.variant else prompt for prompt in fixed_prompts(100))
    prompts.check(plain, 100, NO_KEY, what="test")


FIXED = fixed_prompts(100)
REFUSED: dict[str, tuple[tuple[Prompt, ...], str]] = {
    "none": ((), "are not those of"),
    "one is missing": (FIXED[:-1], "are not those of"),
    "one too many": ((*FIXED, FIXED[0]), "are not those of"),
    "another order": (FIXED[::-1], "are not those of"),
    "another kind": ((replace(FIXED[0], kind="text", variant=None), *FIXED[1:]), "are not those of"),
    "no tokens": ((*FIXED[:-1], replace(FIXED[-1], token_ids=())), "0 token ids, 1 to 256"),
    "too many tokens": ((*FIXED[:-1], replace(FIXED[-1], token_ids=(1,) * 257)), "257 token ids"),
    "a token beyond the vocabulary": ((*FIXED[:-1], replace(FIXED[-1], token_ids=(1, 100))), "token id 100"),
    "a negative token": ((*FIXED[:-1], replace(FIXED[-1], token_ids=(-1,))), "token id -1"),
    "a chat without its variant": ((replace(FIXED[0], variant=None), *FIXED[1:]), "None is none of its variants"),
    "a variant the prompt does not have": (
        (FIXED[0], replace(FIXED[1], variant="no-tools"), *FIXED[2:]),
        "'no-tools' is none of its variants",
    ),
    "a text with a variant": ((*FIXED[:-1], replace(FIXED[-1], variant="plain")), "'plain' is none of its variants"),
    "seeded for another vocabulary": (prompts.seeded(101), "not those for a vocabulary of 100"),
    "seeded and cut": (prompts.seeded(100)[:7], "not those for a vocabulary of 100"),
    "half seeded": ((*prompts.seeded(100)[:4], *FIXED[4:]), "not those for a vocabulary of 100"),
    "half fixed": ((*FIXED[:4], *prompts.seeded(100)[4:]), "are not those of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_prompts_of_no_set_are_refused(case: str) -> None:
    found, message = REFUSED[case]
    with pytest.raises(FormatError, match=message):
        prompts.check(found, 100, NO_KEY, what="behaviour.json")


KEY = challenge_key("5a" * 32, "2026-11-21 auditors' meeting")
OTHER_KEY = challenge_key("5b" * 32, "2026-11-21 auditors' meeting")


def slow_tail(key: bytes, prompt: str, vocabulary: int) -> tuple[int, ...]:
    stream = hashlib.shake_256(b"mbom/v1/challenge-tail\x00" + key + prompt.encode()).digest(8 * TAIL)
    return tuple(int.from_bytes(stream[i : i + 8], "little") % vocabulary for i in range(0, len(stream), 8))


def test_the_tail_of_a_challenge_is_that_of_the_slow_definition() -> None:
    before = prompts.seeded(201_088)
    for prompt, found in zip(before, prompts.challenged(before, 201_088, KEY), strict=True):
        tail = slow_tail(KEY, prompt.id, 201_088)
        assert found == replace(prompt, token_ids=prompt.token_ids[:192] + tail)
        assert len(found.token_ids) == POSITIONS


def test_the_tail_of_a_challenge_never_changes() -> None:
    assert prompts.challenged(prompts.seeded(32_000), 32_000, KEY)[0].token_ids[192:198] == (
        3703, 16483, 16339, 13181, 16014, 10068,
    )  # fmt: skip


def test_short_prompts_grow_by_the_tail() -> None:
    short = fixed_prompts(100, length=20)
    for prompt, found in zip(short, prompts.challenged(short, 100, KEY), strict=True):
        assert found.token_ids == prompt.token_ids + slow_tail(KEY, prompt.id, 100)
    prompts.check(prompts.challenged(short, 100, KEY), 100, KEY, what="test")


def test_without_a_challenge_prompts_stay_as_they_are() -> None:
    assert prompts.challenged(FIXED, 100, NO_KEY) is FIXED


def test_tails_of_two_prompts_and_of_two_challenges_have_nothing_in_common() -> None:
    tails = {
        prompt.token_ids[-TAIL:]
        for key in (KEY, OTHER_KEY)
        for prompt in prompts.challenged(prompts.seeded(201_088), 201_088, key)
    }
    assert len(tails) == 2 * PROMPTS
    assert len({token for tail in tails for token in tail}) > 0.99 * len(tails) * TAIL


ANSWER = prompts.challenged(FIXED, 100, KEY)
SEEDED_ANSWER = prompts.challenged(prompts.seeded(100), 100, KEY)


def with_last_id_moved(answer: tuple[Prompt, ...]) -> tuple[Prompt, ...]:
    ids = answer[-1].token_ids
    return (*answer[:-1], replace(answer[-1], token_ids=(*ids[:-1], (ids[-1] + 1) % 100)))


TAILS_REFUSED: dict[str, tuple[tuple[Prompt, ...], bytes, str]] = {
    "the fixed prompts for a challenge": (FIXED, KEY, "chat-tools: its last 64 token ids are not those of"),
    "the tail of another challenge": (
        prompts.challenged(FIXED, 100, OTHER_KEY), KEY, "chat-tools: its last 64 token ids are not",
    ),
    "one id of a tail": (with_last_id_moved(ANSWER), KEY, "data-1: its last 64 token ids are not"),
    "a tail cut short": (
        (*ANSWER[:-1], replace(ANSWER[-1], token_ids=ANSWER[-1].token_ids[:-1])), KEY, "data-1: its last 64",
    ),
    "two prompts trade tails": (
        (replace(ANSWER[0], token_ids=ANSWER[1].token_ids), *ANSWER[1:]), KEY, "chat-tools: its last 64",
    ),
    "seeded prompts without a tail": (prompts.seeded(100), KEY, "not those for a vocabulary of 100"),
    "seeded prompts with the tail of another": (
        prompts.challenged(prompts.seeded(100), 100, OTHER_KEY), KEY, "not those for a vocabulary of 100",
    ),
    "seeded prompts with a tail and no challenge": (SEEDED_ANSWER, NO_KEY, "not those for a vocabulary of 100"),
    "one id of a seeded tail": (with_last_id_moved(SEEDED_ANSWER), KEY, "not those for a vocabulary of 100"),
}  # fmt: skip


def test_an_answer_to_a_challenge_is_accepted() -> None:
    prompts.check(ANSWER, 100, KEY, what="test")
    prompts.check(SEEDED_ANSWER, 100, KEY, what="test")


@pytest.mark.parametrize("case", TAILS_REFUSED)
def test_prompts_that_do_not_answer_the_challenge_are_refused(case: str) -> None:
    found, key, message = TAILS_REFUSED[case]
    with pytest.raises(FormatError, match=message):
        prompts.check(found, 100, key, what="behaviour.json")
