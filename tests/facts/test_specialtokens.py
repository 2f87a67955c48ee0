"""Special tokens with doubles, and honest ones beside them."""

import json
from typing import Any

import pytest
import shapes

from mbom.facts.members import Members
from mbom.facts.tokenizer import read_tokenizer

VOCAB = {"a": 0, "b": 1, "Ġc": 2, "<s>": 3}


def added(number: int, text: str, *, special: bool = True) -> dict[str, Any]:
    return {"id": number, "content": text, "special": special}


def found(*tokens: dict[str, Any], config: dict[str, Any] | None = None, **side: bytes) -> dict[str, str]:
    document = {"added_tokens": [added(3, "<s>"), *tokens], "model": {"type": "BPE", "vocab": VOCAB, "merges": []}}
    files = {name.replace("__", "."): data for name, data in side.items()}
    files["tokenizer.json"] = json.dumps(document).encode()
    members = Members("tokenizer_config.json", config) if config is not None else None
    return {item.id: item.detail for item in read_tokenizer(shapes.inventory([]), files, members, None)[1]}


def decoder(**texts: str) -> dict[str, Any]:
    return {"added_tokens_decoder": {number[1:]: {"content": text} for number, text in texts.items()}}


SHADOWED: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any], dict[str, bytes], str]] = {
    "one text with two ids": ((added(4, "<s>"),), {}, {}, "'<s>' has the ids 3, 4"),
    "the text of an ordinary token": ((added(4, "a"),), {}, {}, "'a' has the ids 0, 4"),
    "wide bars": ((added(4, "<|end|>"), added(5, "<\uff5cend\uff5c>")), {}, {}, "look the same"),
    "a Cyrillic letter": ((added(4, "<\u0455>", special=False),), {}, {}, "look the same"),
    "another text in the configuration": ((), decoder(_3="</s>"), {}, "gives 3 to '</s>', which tokenizer.json gives"),
    "another id in the configuration": (
        (),
        decoder(_9="<s>"),
        {},
        "gives 9 to '<s>', which tokenizer.json gives to",
    ),
    "another id in added_tokens.json": ((), {}, {"added_tokens__json": b'{"<s>": 0}'}, "added_tokens.json gives 0 to"),
}


@pytest.mark.parametrize(("tokens", "config", "side", "phrase"), SHADOWED.values(), ids=SHADOWED.keys())
def test_a_special_token_with_a_double_is_found(
    tokens: tuple[dict[str, Any], ...], config: dict[str, Any], side: dict[str, bytes], phrase: str
) -> None:
    findings = found(*tokens, config=config, **side)
    assert findings.keys() == {"tokenizer-special-shadowed"}
    assert phrase in findings["tokenizer-special-shadowed"]


HONEST: dict[str, tuple[tuple[dict[str, Any], ...], dict[str, Any], dict[str, bytes]]] = {
    "nothing more": ((), {}, {}),
    "an added token of the base vocabulary": ((added(0, "a", special=False),), {}, {}),
    "ordinary tokens that look the same": (
        (added(4, "①", special=False), added(5, "1", special=False)), {}, {}),
    "a configuration that repeats the tokens": ((), decoder(_3="<s>"), {"added_tokens__json": b'{"<s>": 3}'}),
    "a configuration that adds a token": ((), decoder(_4="<new>") | {"eos_token": "<new>"}, {}),
    "a token in an alphabet of bytes": ((), decoder(_2=" c"), {}),
    "a broken added_tokens.json": ((), {}, {"added_tokens__json": b"["}),
    "a table that is none": ((), {"added_tokens_decoder": [1], "eos_token": "<s>"}, {}),
    "numbers that are none": ((), {"added_tokens_decoder": {"x": {"content": "<s>"}, "٣": {}, "3": "y"}}, {}),
    "an end that is not ASCII": ((), {"eos_token": "结束"}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("tokens", "config", "side"), HONEST.values(), ids=HONEST.keys())
def test_honest_special_tokens_raise_no_alarm(
    tokens: tuple[dict[str, Any], ...], config: dict[str, Any], side: dict[str, bytes]
) -> None:
    assert found(*tokens, config=config, **side) == {}


def test_a_role_for_a_token_that_does_not_exist_is_found() -> None:
    findings = found(config={"bos_token": "<s>", "eos_token": {"content": "<|stop|>"}})
    assert findings.keys() == {"tokenizer-special-unknown"}
    assert "eos is '<|stop|>'" in findings["tokenizer-special-unknown"]


def test_other_kinds_of_vocabulary_have_no_added_tokens_to_look_for() -> None:
    members = Members("tokenizer_config.json", {"eos_token": "<|stop|>"} | decoder(_0="!", _1="<x>"))
    side = {"qwen.tiktoken": b"IQ== 0\nIg== 1\n"}
    assert read_tokenizer(shapes.inventory([]), side, members, None)[1] == ()
