"""Special tokens that are not what they seem: those that are other tokens too, look like others, or do not exist.

Whoever can write the text of a special token as ordinary text can end a turn or begin one. So each of them has one id,
one text and one look, and the files of a tokenizer agree on it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from mbom.facts.members import Members, read_object
from mbom.facts.vocabulary import TOKENIZER_JSON, Vocabulary
from mbom.inventory.findings import finding, listed, plain
from mbom.inventory.naming import shown
from mbom.inventory.record import Finding
from mbom.strictjson import Json

ADDED_TOKENS = "added_tokens.json"
_TEXT_SHOWN = 64  # characters of a token


def shadowed(
    vocabulary: Vocabulary, config: Members | None, side: Mapping[str, bytes], roles: Iterable[tuple[str, str]]
) -> Iterator[Finding]:
    """Yield what is wrong with the special tokens of a vocabulary.

    Args:
        vocabulary: as its file has it.
        config: the members of tokenizer_config.json; None where there is none that can be read.
        side: bytes of small files by name.
        roles: the tokens that stand for something, as (``bos``, token).
    """
    ids: dict[str, set[int]] = defaultdict(set)
    for number, text in (*vocabulary.tokens, *((token.id, token.text) for token in vocabulary.added)):
        ids[text].add(number)
    declared = [*_declared(config), *_listed(side)]
    doubles = [*_doubles(vocabulary, ids), *_looks(vocabulary), *_contradicted(vocabulary, ids, declared)]
    if doubles:
        yield finding("tokenizer-special-shadowed", vocabulary.file, listed(doubles))
    if vocabulary.file == TOKENIZER_JSON and config is not None:
        known = ids.keys() | {text for _, text, _ in declared}
        # What is not ASCII may stand in the vocabulary by its bytes, in an alphabet of their own.
        unknown = [f"{name} is {text!r}" for name, text in roles if text.isascii() and text not in known]
        if unknown:
            detail = f"{listed(unknown)}, which is no token: loaders add it behind the vocabulary"
            yield finding("tokenizer-special-unknown", config.path, detail)


def _doubles(vocabulary: Vocabulary, ids: Mapping[str, set[int]]) -> Iterator[str]:
    """Yield special tokens whose text is another token too."""
    for text in dict.fromkeys(token.text for token in vocabulary.added if token.special):
        if len(ids[text]) > 1:
            yield f"{_shown(text)} has the ids {listed([str(number) for number in sorted(ids[text])])}"


def _looks(vocabulary: Vocabulary) -> Iterator[str]:
    """Yield added tokens that look like a special one and are not it."""
    looks: dict[str, list[str]] = defaultdict(list)
    for text in dict.fromkeys(token.text for token in vocabulary.added):
        looks[shown(text)].append(text)
    special = {token.text for token in vocabulary.added if token.special}
    for texts in looks.values():
        if len(texts) > 1 and special.intersection(texts):
            yield f"{listed([_shown(text) for text in texts])} look the same"


def _contradicted(
    vocabulary: Vocabulary, ids: Mapping[str, set[int]], declared: Iterable[tuple[int, str, str]]
) -> Iterator[str]:
    """Yield tokens of which another file says something else."""
    texts: dict[int, set[str]] = defaultdict(set)
    for number, text in (*vocabulary.tokens, *((token.id, token.text) for token in vocabulary.added)):
        texts[number].add(text)
    for number, text, path in declared:
        # Only what an alphabet of bytes leaves as it is; ranks of tiktoken are in base64.
        if not (text.isascii() and text.isprintable() and " " not in text) or vocabulary.kind == "tiktoken":
            continue
        if (text in ids and number not in ids[text]) or (number in texts and text not in texts[number]):
            others = listed([_shown(other) for other in sorted(texts.get(number, ()))]) or "nothing"
            yield f"{path} gives {number} to {_shown(text)}, which {vocabulary.file} gives to {others}"


def _declared(config: Members | None) -> Iterator[tuple[int, str, str]]:
    """Yield (id, token, file) of ``added_tokens_decoder``."""
    if config is None:
        return
    table = config.objects[0].get("added_tokens_decoder")
    for number, item in table.items() if isinstance(table, dict) else ():
        text: Json = item.get("content") if isinstance(item, dict) else None
        if isinstance(text, str) and number.isascii() and number.isdecimal() and len(number) < 12:
            yield int(number), text, config.path


def _listed(side: Mapping[str, bytes]) -> Iterator[tuple[int, str, str]]:
    """Yield (id, token, file) of added_tokens.json."""
    document, _ = read_object(ADDED_TOKENS, side[ADDED_TOKENS]) if ADDED_TOKENS in side else ({}, ())
    for text, number in (document or {}).items():
        if type(number) is int:
            yield number, text, ADDED_TOKENS


def _shown(text: str) -> str:
    return repr(plain(text[:_TEXT_SHOWN]))
