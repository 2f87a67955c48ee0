"""The vocabulary of a tokenizer, out of the file that holds it: tokenizer.json, tekken.json, vocab.json and the like.

Nothing is loaded as a tokenizer, and no file is trusted to be what its name says.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mbom.errors import FormatError
from mbom.facts.members import Members, is_name, read_object
from mbom.strictjson import Json

TOKENIZER_JSON = "tokenizer.json"
TEKKEN = "tekken.json"
VOCAB_JSON = "vocab.json"
VOCAB_TEXT = "vocab.txt"
TIKTOKEN = ".tiktoken"

ID_LIMIT = 1 << 32  # an id beyond it is no row of any table

_FILES = (TOKENIZER_JSON, TEKKEN, VOCAB_JSON, VOCAB_TEXT)  # in the order in which they count


@dataclass(frozen=True, kw_only=True)
class Added:
    """A token beside the base vocabulary, or of it with a meaning of its own."""

    id: int
    text: str
    special: bool


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """A vocabulary as its file has it.

    Attributes:
        file: the file.
        pointer: the JSON pointer of the base vocabulary in it; None where the whole file is that.
        kind: ``BPE``, ``Unigram``, ``WordPiece``, ``WordLevel``, ``Tekken`` or ``tiktoken``; None where nothing tells.
        tokens: (id, token) of the base vocabulary, in the order of the file.
        added: the added tokens.
        document: tokenizer.json as a whole; empty for other files.
    """

    file: str
    pointer: str | None
    kind: str | None
    tokens: tuple[tuple[int, str], ...]
    added: tuple[Added, ...] = ()
    document: Mapping[str, Json]


def read_vocabulary(side: Mapping[str, bytes]) -> Vocabulary | None:
    """Return the vocabulary of the first file that holds one, or None where there is no such file.

    Raises:
        FormatError: when that file is not what its name says; the message does not name it.
    """
    tables = sorted(name for name in side if name.endswith(TIKTOKEN))
    name = next((name for name in (*_FILES, *tables) if name in side), None)
    if name is None:
        return None
    if name in (VOCAB_TEXT, *tables):
        return _table(name, side[name])
    document, problems = read_object(name, side[name])
    if document is None:
        raise FormatError(problems[0].detail)
    if name == TEKKEN:
        return _tekken(document)
    if name == VOCAB_JSON:
        return Vocabulary(file=name, pointer=None, kind="BPE", tokens=_mapping(document), document={})
    return _tokenizer_json(document)


def vocabulary_file(side: Mapping[str, bytes]) -> str:
    """Return the name of the file that ``read_vocabulary`` reads."""
    tables = sorted(name for name in side if name.endswith(TIKTOKEN))
    return next((name for name in (*_FILES, *tables) if name in side), TOKENIZER_JSON)


def _tokenizer_json(document: dict[str, Json]) -> Vocabulary:
    model = document.get("model")
    inner = model if isinstance(model, dict) else {}
    vocab, kind = inner.get("vocab"), inner.get("type")
    if not is_name(kind):  # files of older versions leave it out; the vocabulary's form tells Unigram from the rest
        kind = "Unigram" if isinstance(vocab, list) else "BPE" if "merges" in inner else None
    tokens = _mapping(vocab) if isinstance(vocab, dict) else _scored(vocab)
    added = _added(document.get("added_tokens"))
    return Vocabulary(
        file=TOKENIZER_JSON, pointer="/model/vocab", kind=kind, tokens=tokens, added=added, document=document
    )


def _tekken(document: dict[str, Json]) -> Vocabulary:
    """Read Mistral's format: the first ids are special tokens, then come the ranks of the vocabulary."""
    config = Members(TEKKEN, Members(TEKKEN, document).object("config") or {})
    size, reserved = config.integer("default_vocab_size"), config.integer("default_num_special_tokens")
    vocab, special = document.get("vocab"), document.get("special_tokens")
    if size is None or reserved is None or not reserved <= size <= ID_LIMIT or not isinstance(vocab, list):
        raise FormatError("config and vocab do not say how many tokens there are")
    tokens = []
    for number, item in enumerate(vocab[: size - reserved]):
        text = item.get("token_str") or item.get("token_bytes") if isinstance(item, dict) else None
        if not isinstance(text, str):
            raise FormatError(f"vocab/{number} is not a token")
        tokens.append((reserved + number, text))
    renamed: Json = [
        {"id": item.get("rank"), "content": item.get("token_str"), "special": True} if isinstance(item, dict) else item
        for item in (special if isinstance(special, list) else [])
    ]
    return Vocabulary(
        file=TEKKEN, pointer="/vocab", kind="Tekken", tokens=tuple(tokens), added=_added(renamed), document={}
    )


def _table(name: str, data: bytes) -> Vocabulary:
    """Read a text with a token in each line: WordPiece's by its number, tiktoken's in base64 with its rank."""
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FormatError(f"not UTF-8 at byte {error.start}") from error
    lines = [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]
    if name == VOCAB_TEXT:
        return Vocabulary(file=name, pointer=None, kind="WordPiece", tokens=tuple(enumerate(lines)), document={})
    tokens = []
    for number, line in enumerate(lines, 1):
        text, _, rank = line.partition(" ")
        if not (rank.isascii() and rank.isdecimal() and len(rank) < 10):
            raise FormatError(f"line {number} is not a token and its rank")
        tokens.append((int(rank), text))
    return Vocabulary(file=name, pointer=None, kind="tiktoken", tokens=tuple(tokens), document={})


def _mapping(vocab: dict[str, Json]) -> tuple[tuple[int, str], ...]:
    """Return (id, token) of an object of ids by token."""
    tokens = tuple((number, text) for text, number in vocab.items() if _is_id(number) and isinstance(number, int))
    if len(tokens) != len(vocab):
        raise FormatError("the vocabulary gives a token an id that is none")
    return tokens


def _scored(vocab: Json) -> tuple[tuple[int, str], ...]:
    """Return (id, token) of Unigram's list of [token, score]; the place in the list is the id."""
    if not isinstance(vocab, list):
        raise FormatError("there is no vocabulary")
    tokens = tuple(
        (number, item[0])
        for number, item in enumerate(vocab)
        if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)
    )
    if len(tokens) != len(vocab):
        raise FormatError("the vocabulary holds something that is no token with its score")
    return tokens


def _added(value: Json) -> tuple[Added, ...]:
    if value is None:
        return ()
    found = []
    for item in value if isinstance(value, list) else [value]:
        number, text = (item.get("id"), item.get("content")) if isinstance(item, dict) else (None, None)
        if not isinstance(item, dict) or not isinstance(number, int) or not _is_id(number) or not isinstance(text, str):
            raise FormatError("one of the added tokens has no id or no content")
        found.append(Added(id=number, text=text, special=item.get("special") is True))
    return tuple(found)


def _is_id(value: Json) -> bool:
    return type(value) is int and 0 <= value < ID_LIMIT
