"""The vocabularies of two models: tokens added, moved to another id, and removed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from mbom.diff.changes import TokenChange, TokenizerChange
from mbom.diff.sides import instead
from mbom.dossier import Dossier
from mbom.errors import FormatError
from mbom.facts.vocabulary import TOKENIZER_JSON, VOCAB_JSON, Vocabulary, read_vocabulary, vocabulary_file
from mbom.inventory.findings import plain
from mbom.inventory.roles import TOKENIZER

LISTED = 50  # tokens of each kind; a diff of two tokenizers that share nothing has some 200,000
TOKEN_SHOWN = 64  # characters of a token

# Files that spell tokens in one alphabet. Others are compared with their like only: tiktoken's are in base64.
_ALIKE = {TOKENIZER_JSON: "tokenizer.json", VOCAB_JSON: "tokenizer.json"}


def tokenizer(old: Dossier, new: Dossier) -> tuple[TokenizerChange | None, tuple[str, ...]]:
    """Compare two vocabularies; None, and a note why, where one of them is not at hand."""
    if _files(old) == _files(new) or _digest(old) == _digest(new) is not None:
        return TokenizerChange(added=0, moved=0, removed=0, listed=()), ()
    bundles = [side for side in (old, new) if _files(side) and not side.holds_files]
    if bundles:
        return None, (f"the tokens of the vocabularies, which are not known to be equal: {instead(bundles)}",)
    try:
        vocabularies = [_vocabulary(side) for side in (old, new)]
    except FormatError as error:
        return None, (f"the vocabularies were not compared: {plain(str(error))}",)
    return _compared(*vocabularies)


def _files(side: Dossier) -> dict[str, str]:
    return {file.name: file.sha256 for file in side.inventory.files if file.role == TOKENIZER}


def _digest(side: Dossier) -> str | None:
    """Return the digest of the vocabulary, of base tokens and added ones, by ``VOCABULARY_RULE``."""
    found = side.described.tokenizer.get("vocabulary", ())
    return found[0] if len(found) == 1 else None


def _vocabulary(side: Dossier) -> Vocabulary | None:
    try:
        found = read_vocabulary(side.side)
    except FormatError as error:
        raise FormatError(f"{side.label}: {vocabulary_file(side.side)}: {error}") from error
    if found is None and _files(side):
        raise FormatError(f"{side.label} has no vocabulary in a file that can be read, such as {TOKENIZER_JSON}")
    return found


def _compared(old: Vocabulary | None, new: Vocabulary | None) -> tuple[TokenizerChange | None, tuple[str, ...]]:
    if old is not None and new is not None and _alphabet(old) != _alphabet(new):
        return None, (f"the vocabularies were not compared: {old.file} and {new.file} spell tokens differently",)
    found = list(_changes(_tokens(old), _tokens(new)))
    found.sort(key=lambda change: (_first(change.new_id, change.old_id), _first(change.old_id), change.token))
    added = [change for change in found if change.old_id is None]
    removed = [change for change in found if change.new_id is None]
    moved = [change for change in found if change.old_id is not None and change.new_id is not None]
    listed = (*added[:LISTED], *moved[:LISTED], *removed[:LISTED])
    return TokenizerChange(added=len(added), moved=len(moved), removed=len(removed), listed=listed), ()


def _first(*ids: int | None) -> int:
    return next((number for number in ids if number is not None), -1)


def _alphabet(vocabulary: Vocabulary) -> tuple[str, str | None]:
    """Return what decides how tokens are spelled: the kind of file, and within tokenizer.json the kind of model."""
    return _ALIKE.get(vocabulary.file, vocabulary.file.rpartition(".")[2]), vocabulary.kind


def _tokens(vocabulary: Vocabulary | None) -> Mapping[str, set[int]]:
    """Return the ids of each token by its text; a hostile file gives one token several."""
    found: dict[str, set[int]] = defaultdict(set)
    if vocabulary is not None:
        for number, text in vocabulary.tokens:
            found[text].add(number)
        for token in vocabulary.added:
            found[token.text].add(token.id)
    return found


def _changes(old: Mapping[str, set[int]], new: Mapping[str, set[int]]) -> Iterator[TokenChange]:
    for text in old.keys() | new.keys():
        before, after = old.get(text, set()), new.get(text, set())
        if before == after:
            continue
        gone, came = sorted(before - after), sorted(after - before)
        shown = plain(text[:TOKEN_SHOWN])
        for number in range(max(len(gone), len(came))):
            yield TokenChange(
                token=shown,
                old_id=gone[number] if number < len(gone) else None,
                new_id=came[number] if number < len(came) else None,
            )
