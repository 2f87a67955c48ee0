"""The fixed prompts that every checkpoint is measured on, and seeded token ids for those without a tokenizer.

The set is part of the format: a record is comparable with another only when both were measured on the same tokens.
Any change of wording is a new set with a new name, and the old one stays readable.
"""

import functools
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Literal, get_args

import numpy as np

from mbom import strictjson
from mbom.errors import FormatError
from mbom.strictjson import Fields, Json

FIXED_SET = "mbom-prompts-1"
PROMPTS = 8
POSITIONS = 256  # tokens of each prompt that are measured: 2,048 in all, beyond the 128 of gpt-oss's sliding window

Message = dict[str, Json]
Kind = Literal["chat", "text", "seeded"]
KINDS: tuple[Kind, ...] = get_args(Kind)
VariantName = Literal["full", "string-arguments", "no-tools", "no-system", "user-only", "plain"]
VARIANTS: tuple[VariantName, ...] = get_args(VariantName)

TAIL = 64  # tokens at the end of each prompt that a challenge draws

_SEEDED_DOMAIN = b"mbom/v1/seeded-tokens\0"
_TAIL_DOMAIN = b"mbom/v1/challenge-tail\0"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One form of a chat prompt: messages as chat templates take them, and the tools on offer (empty: pass none)."""

    name: VariantName
    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PromptSource:
    """One prompt of the fixed set, before any tokenizer has seen it.

    A prompt of kind ``text`` is tokenised as it stands. Of kind ``chat``, the first of ``variants`` that the
    checkpoint's template accepts is rendered; ``text`` is for checkpoints with no template, or one that refuses all,
    and is then recorded as the variant ``plain``.
    """

    id: str
    kind: Literal["chat", "text"]
    text: str
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt as it was rendered for a checkpoint. ``variant`` is None unless the kind is ``chat``."""

    id: str
    kind: Kind
    variant: VariantName | None
    token_ids: tuple[int, ...]


@functools.cache
def fixed() -> tuple[PromptSource, ...]:
    """Return the prompts of ``FIXED_SET`` in their order."""
    data = resources.files("mbom.behaviour").joinpath("prompts.json").read_bytes()
    document = Fields(strictjson.loads(data, what="prompts.json"), "prompts.json")
    document.constant("set", FIXED_SET)
    prompts = tuple(_source(fields) for fields in document.objects("prompts"))
    document.end()
    return prompts


def _source(fields: Fields) -> PromptSource:
    name = fields.text("id")
    if fields.text("kind") == "text":
        source = PromptSource(id=name, kind="text", text=fields.text("text"))
    else:
        messages = _messages(fields.array("messages"))
        tools = _messages(fields.array("tools")) if fields.has("tools") else ()
        text = "\n\n".join(f"{message['role']}: {message['content']}" for message in _without_tools(messages))
        source = PromptSource(id=name, kind="chat", text=text, variants=_variants(messages, tools))
    fields.end()
    return source


def _messages(values: Sequence[Json]) -> tuple[Message, ...]:
    return tuple(value for value in values if isinstance(value, dict))


def _variants(messages: tuple[Message, ...], tools: tuple[Message, ...]) -> tuple[Variant, ...]:
    """List the forms of a conversation from the richest to the plainest.

    Templates differ: DeepSeek's join the arguments of a call as text and fail on an object, Gemma's refuse the system
    role, older ones of Mistral anything but user and assistant in turn, and some take a single turn.
    """
    variants = [Variant(name="full", messages=messages, tools=tools)]
    if tools:
        texts = tuple(_with_text_arguments(message) for message in messages)
        variants.append(Variant(name="string-arguments", messages=texts, tools=tools))
        variants.append(Variant(name="no-tools", messages=_without_tools(messages)))
    plain = tuple(message for message in _without_tools(messages) if message["role"] != "system")
    if len(plain) < len(_without_tools(messages)):
        variants.append(Variant(name="no-system", messages=plain))
    joined = "\n\n".join(str(message["content"]) for message in plain)
    variants.append(Variant(name="user-only", messages=({"role": "user", "content": joined},)))
    return tuple(variants)


def _without_tools(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return tuple(message for message in messages if message["role"] != "tool" and "tool_calls" not in message)


def _with_text_arguments(message: Message) -> Message:
    """Return the message with the arguments of its tool calls as JSON text, the way OpenAI's interface sends them."""
    if "tool_calls" not in message:
        return message
    calls: list[Json] = []
    for call in _objects(message["tool_calls"]):
        function = _objects([call["function"]])[0]
        calls.append({**call, "function": {**function, "arguments": json.dumps(function["arguments"])}})
    return {**message, "tool_calls": calls}


def _objects(value: Json) -> list[dict[str, Json]]:
    assert isinstance(value, list)
    return [item for item in value if isinstance(item, dict)]


@functools.lru_cache(maxsize=8)
def seeded(vocabulary: int) -> tuple[Prompt, ...]:
    """Return ``PROMPTS`` prompts of ``POSITIONS`` token ids, for checkpoints without a tokenizer."""
    return tuple(
        Prompt(
            id=f"seeded-{number}",
            kind="seeded",
            variant=None,
            token_ids=_drawn(_SEEDED_DOMAIN + f"seeded-{number}".encode(), POSITIONS, vocabulary),
        )
        for number in range(1, PROMPTS + 1)
    )


def challenged(prompts: tuple[Prompt, ...], vocabulary: int, key: bytes) -> tuple[Prompt, ...]:
    """Return the prompts of a challenge: the last ``TAIL`` of each one's ``POSITIONS`` tokens are drawn under the key.

    A shorter prompt grows by so many, up to ``POSITIONS``. Without a key the prompts stay as they are.
    """
    if not key:
        return prompts
    return tuple(
        replace(
            prompt,
            token_ids=prompt.token_ids[: POSITIONS - TAIL] + _drawn(_tail_seed(key, prompt), TAIL, vocabulary),
        )
        for prompt in prompts
    )


def _tail_seed(key: bytes, prompt: Prompt) -> bytes:
    return _TAIL_DOMAIN + key + prompt.id.encode()


def _drawn(seed: bytes, count: int, vocabulary: int) -> tuple[int, ...]:
    """Return token ids: eight little-endian bytes of SHAKE-256 over the seed for each, modulo the vocabulary.

    The modulo favours small ids by less than one part in 2**40.
    """
    ids = np.frombuffer(hashlib.shake_256(seed).digest(8 * count), "<u8") % np.uint64(vocabulary)
    return tuple(ids.tolist())


def check(prompts: tuple[Prompt, ...], vocabulary: int, key: bytes, *, what: str) -> None:
    """Refuse prompts that are neither the fixed set in its order nor exactly the seeded one.

    Args:
        prompts: what a record names.
        vocabulary: rows of the embedding.
        key: of the challenge that the tails must have been drawn under; empty where there is none.
        what: the name of the document.

    Raises:
        FormatError: naming the first prompt that is not as it must be.
    """
    if prompts and prompts[0].kind == "seeded":
        if prompts != challenged(seeded(vocabulary), vocabulary, key):
            raise FormatError(f"{what}: seeded token ids are not those for a vocabulary of {vocabulary}")
        return
    expected = [(source.id, source.kind) for source in fixed()]
    found = [(prompt.id, prompt.kind) for prompt in prompts]
    if found != expected:
        raise FormatError(f"{what}: the prompts {found} are not those of {FIXED_SET}: {expected}")
    for prompt, source in zip(prompts, fixed(), strict=True):
        _check_one(prompt, source, vocabulary, what=f"{what}: prompt {prompt.id}")
        if key and prompt.token_ids[-TAIL:] != _drawn(_tail_seed(key, prompt), TAIL, vocabulary):
            raise FormatError(f"{what}: prompt {prompt.id}: its last {TAIL} token ids are not those of the challenge")


def _check_one(prompt: Prompt, source: PromptSource, vocabulary: int, *, what: str) -> None:
    known = (*(variant.name for variant in source.variants), "plain") if source.kind == "chat" else (None,)
    if prompt.variant not in known:
        raise FormatError(f"{what}: {prompt.variant!r} is none of its variants {known}")
    if not 1 <= len(prompt.token_ids) <= POSITIONS:
        raise FormatError(f"{what}: has {len(prompt.token_ids)} token ids, 1 to {POSITIONS} are allowed")
    beyond = next((token for token in prompt.token_ids if not 0 <= token < vocabulary), None)
    if beyond is not None:
        raise FormatError(f"{what}: token id {beyond} is outside the vocabulary of {vocabulary}")
