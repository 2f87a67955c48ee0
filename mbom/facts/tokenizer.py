"""The tokenizer: what its files say of it, the digest of its vocabulary, and what nobody would expect of it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import PurePosixPath

from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.facts.invisible import invisible
from mbom.facts.members import Members, is_name, read_object
from mbom.facts.places import Place
from mbom.facts.specialtokens import shadowed
from mbom.facts.vocabulary import TOKENIZER_JSON, Vocabulary, read_vocabulary, vocabulary_file
from mbom.inventory.findings import finding, listed, plain
from mbom.inventory.record import Finding, Inventory
from mbom.inventory.roles import TOKENIZER
from mbom.strictjson import Json

TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS = "special_tokens_map.json"

VOCABULARY_RULE = "SHA-256 over RFC 8785 JSON of [[id, token]] of the base vocabulary and the added tokens, by id"

# PreTrainedTokenizerBase.SPECIAL_TOKENS_ATTRIBUTES of transformers, by their roles.
ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")

TOKEN_SHOWN = 64  # characters of a token
SPECIAL_SHOWN = 64  # special tokens that are named; Llama 3 has 256, and most of them are reserved
STEPS_SHOWN = 32  # normalisers, pre-tokenizers, post-processors and decoders that are named
_DEPTH = 8  # sequences of them inside each other

_STAGES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_REWRITING = frozenset({"Replace", "Prepend"})
_ESCAPES = re.compile(r"\\[pP]\{[^}]{0,64}\}|\\.", re.DOTALL)  # what has letters in a pattern and means none


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """What is known of a tokenizer; None and empty where nothing is said.

    Attributes:
        files: the names of its files.
        kind: the model inside: that of the vocabulary, or ``SentencePiece`` where there is only such a file.
        declared: the class that tokenizer_config.json names.
        base: tokens of the base vocabulary.
        added: tokens beside it, or of it with a meaning of their own.
        special: how many of those are special.
        rows: the highest id and one, which is how many embedding rows it takes.
        vocabulary_sha256: by ``VOCABULARY_RULE``.
        roles: the tokens that stand for something, as (``bos``, token).
        special_tokens: (id, token) of special tokens by id, at most ``SPECIAL_SHOWN``.
        steps: what is done to a text, as ``normalizer: Replace``, in the order of the file.
        places: where each was read, by the name of its property in the BOM.
    """

    files: tuple[str, ...] = ()
    kind: str | None = None
    declared: str | None = None
    base: int | None = None
    added: int | None = None
    special: int | None = None
    rows: int | None = None
    vocabulary_sha256: str | None = None
    roles: tuple[tuple[str, str], ...] = ()
    special_tokens: tuple[tuple[int, str], ...] = ()
    steps: tuple[str, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)


def read_tokenizer(
    inventory: Inventory, side: Mapping[str, bytes], config: Members | None, embedding: int | None
) -> tuple[Tokenizer, tuple[Finding, ...]]:
    """Read what the tokenizer's files say.

    Args:
        inventory: the files of the checkpoint.
        side: bytes of small files by name.
        config: the members of tokenizer_config.json; None where there is none that can be read.
        embedding: ``vocab_size`` of the configuration.
    """
    files = tuple(file.name for file in inventory.files if file.role == TOKENIZER)
    found, findings, vocabulary = Tokenizer(), list[Finding](), None
    try:
        vocabulary = read_vocabulary(side)
    except FormatError as error:
        detail = f"{error}, so nothing is known of its vocabulary"
        findings.append(finding("tokenizer-malformed", vocabulary_file(side), detail))
    else:
        if vocabulary is not None:
            # Each token once, by id: what stands in the base vocabulary and among the added tokens is one token.
            tokens = sorted({*vocabulary.tokens, *((token.id, token.text) for token in vocabulary.added)})
            found = _described(vocabulary, tokens)
            findings += [*_surprises(vocabulary, tokens, embedding), *_rewriting(vocabulary.document)]
        elif any(PurePosixPath(name).suffix == ".model" for name in files):
            found = Tokenizer(kind="SentencePiece")
    if config is not None:
        declared = config.text("tokenizer_class", fact="tokenizer:class")
        roles, places, wrong = _roles(config, side)
        findings += wrong
        if "tokenizer:class" in config.places:
            places["tokenizer:class"] = config.places["tokenizer:class"]
        found = replace(found, declared=declared, roles=roles, places={**found.places, **places})
    if vocabulary is not None:
        findings += shadowed(vocabulary, config, side, found.roles)
    return replace(found, files=files), tuple(findings)


def _described(vocabulary: Vocabulary, everything: Sequence[tuple[int, str]]) -> Tokenizer:
    """Return what a vocabulary comes to."""
    tokens, added, path = vocabulary.tokens, vocabulary.added, vocabulary.file
    # For integers and strings this is what RFC 8785 prescribes, many times faster than by its library.
    canonical = json.dumps(everything, ensure_ascii=False, separators=(",", ":"))
    special = sorted((token.id, plain(token.text[:TOKEN_SHOWN])) for token in added if token.special)
    steps = [f"{stage}: {kind}" for stage in _STAGES for kind, _ in _steps(vocabulary.document.get(stage))]
    place = Place(file=path, pointer=vocabulary.pointer)
    places = {f"tokenizer:{fact}": place for fact in ("base", "rows", "vocabulary")}
    if vocabulary.document:
        members = {"kind": "/model/type", "added": "/added_tokens", "special": "/added_tokens", "step": ""}
        places |= {f"tokenizer:{fact}": Place(file=path, pointer=pointer) for fact, pointer in members.items()}
    return Tokenizer(
        kind=vocabulary.kind,
        base=len(tokens),
        added=len(added),
        special=len(special),
        rows=everything[-1][0] + 1 if everything else 0,
        vocabulary_sha256=sha256(canonical.encode()),
        special_tokens=tuple(special[:SPECIAL_SHOWN]),
        steps=tuple(steps[:STEPS_SHOWN]),
        places=places,
    )


def _surprises(
    vocabulary: Vocabulary, everything: Sequence[tuple[int, str]], embedding: int | None
) -> Iterator[Finding]:
    path = vocabulary.file
    highest = everything[-1][0] if everything else -1
    if embedding is not None and highest >= embedding:
        detail = f"its highest id is {highest}, and config.json gives the embedding {embedding} rows"
        yield finding("tokenizer-beyond-embedding", path, detail)
    doubled = sorted({this[0] for this, following in pairwise(everything) if this[0] == following[0]})
    if doubled:
        detail = f"{len(doubled)} ids stand for more than one token: {listed([str(number) for number in doubled])}"
        yield finding("tokenizer-duplicate-id", path, detail)
    hidden = [
        f"{token.id} ({listed(chars)})" for token in vocabulary.added if not token.text.isspace()
        if (chars := invisible(token.text))
    ]  # fmt: skip
    if hidden:
        detail = f"{len(hidden)} added tokens hold characters that people do not see: {listed(hidden)}"
        yield finding("tokenizer-invisible", path, detail)


def _steps(value: Json, depth: int = 0) -> Iterator[tuple[str, Mapping[str, Json]]]:
    """Yield the type and the members of a step, or of those that a sequence holds."""
    if not isinstance(value, dict) or depth > _DEPTH:
        return
    kind = value.get("type")
    if kind == "Sequence":
        for member in value.values():
            for item in member if isinstance(member, list) else ():
                yield from _steps(item, depth + 1)
    elif is_name(kind):
        yield kind, value


def _rewriting(document: Mapping[str, Json]) -> Iterator[Finding]:
    """Report steps that put words in the place of those that somebody wrote or the model did.

    Honest ones turn spaces into another character and back, or drop marks; none of that takes letters.
    """
    found = []
    for stage in _STAGES:
        for kind, step in _steps(document.get(stage)):
            pattern = step.get("pattern")
            text, expression = (
                (pattern.get("String"), pattern.get("Regex")) if isinstance(pattern, dict) else (None,) * 2
            )
            sought = (
                text if isinstance(text, str) else _ESCAPES.sub("", expression) if isinstance(expression, str) else ""
            )
            written = [item for item in (step.get("content"), step.get("prepend")) if isinstance(item, str)]
            if kind in _REWRITING and any(char.isalpha() for item in (sought, *written) for char in item):
                given = text if isinstance(text, str) else expression
                by = plain(" ".join(item[:TOKEN_SHOWN] for item in written))
                shown = f"replaces {plain(str(given)[:TOKEN_SHOWN])!r} by" if kind == "Replace" else "prepends"
                found.append(f"the {stage} {shown} {by!r}")
    if found:
        yield finding("tokenizer-rewrites", TOKENIZER_JSON, listed(found))


def _roles(
    config: Members, side: Mapping[str, bytes]
) -> tuple[tuple[tuple[str, str], ...], dict[str, Place], list[Finding]]:
    """Return the tokens that stand for something; tokenizer_config.json goes before special_tokens_map.json."""
    sources: list[tuple[str, Mapping[str, Json]]] = [(config.path, config.objects[0])]
    findings = []
    if SPECIAL_TOKENS in side:
        mapped, problems = read_object(SPECIAL_TOKENS, side[SPECIAL_TOKENS])
        findings = [finding("tokenizer-malformed", SPECIAL_TOKENS, problem.detail) for problem in problems]
        sources.append((SPECIAL_TOKENS, mapped or {}))
    found, places = [], dict[str, Place]()
    for name in ROLES:
        for path, document in sources:
            value = document.get(f"{name}_token")
            text = value.get("content") if isinstance(value, dict) else value
            if isinstance(text, str) and text:
                found.append((name, plain(text[:TOKEN_SHOWN])))
                places[f"tokenizer:{name}"] = Place(file=path, pointer=f"/{name}_token")
                break
    return tuple(found), places, findings
