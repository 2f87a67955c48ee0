"""The licence and policy files of a checkpoint: which there are, and what each of them holds."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

from mbom.errors import FormatError
from mbom.facts.card import CARD, Licence
from mbom.facts.licences.matching import Match, identify
from mbom.facts.licences.text import TEXT_LIMIT, Words, words_of
from mbom.inventory.record import FileRecord, Inventory
from mbom.inventory.roles import LICENCE, POLICY

TEXTS_LIMIT = 64  # files that are looked into, the linked one and those at the root first; honest are one to four
TOTAL_LIMIT = 8 << 20  # bytes of all of them; a megabyte of hostile text takes up to two seconds

_ON_THE_HUB = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/(?P<repo>[^/]+/[^/]+)/[a-z]+/[^/]+/(?P<path>.+)"
)


@dataclass(frozen=True, kw_only=True)
class LicenceText:
    """A licence or policy file: what it holds, and how many words no known text accounts for.

    ``problem`` says why it could not be read, where that is so; then nothing is known of it. ``words`` are its words.
    """

    file: str
    sha256: str
    matches: tuple[Match, ...] = ()
    other_words: int = 0
    problem: str | None = None
    words: Words | None = field(default=None, repr=False, compare=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the licences and policies in it."""
        return tuple(dict.fromkeys(match.key for match in self.matches))


def read_texts(inventory: Inventory, side: Mapping[str, bytes], linked: str | None) -> tuple[LicenceText, ...]:
    """Identify every licence and policy file, and the one that the card links to, by name."""
    files = [file for file in inventory.files if file.role in (LICENCE, POLICY) or file.name == linked != CARD]
    files.sort(key=lambda file: (file.name != linked, file.name.count("/"), file.name))
    found, total = [], 0
    for number, file in enumerate(files):
        total += file.size if file.size <= TEXT_LIMIT else 0
        if number >= TEXTS_LIMIT or total > TOTAL_LIMIT:
            problem = f"there are more than {TEXTS_LIMIT} such files, or {TOTAL_LIMIT} bytes of them, before it"
            found.append(LicenceText(file=file.name, sha256=file.sha256, problem=problem))
        else:
            found.append(_read(file, side))
    return tuple(sorted(found, key=lambda text: text.file))


def linked_file(licence: Licence | None, inventory: Inventory) -> str | None:
    """Return the name of the file that ``license_link`` means; None where it leads out of the repository.

    Publishers write a name, or the hub's address of a file in the repository itself.
    """
    if licence is None or licence.link is None:
        return None
    match = _ON_THE_HUB.fullmatch(licence.link)
    if match is not None:
        return unquote(match["path"]) if match["repo"] == inventory.origin.repo else None
    return None if ":" in licence.link else licence.link.removeprefix("./")


def _read(file: FileRecord, side: Mapping[str, bytes]) -> LicenceText:
    if file.name not in side:
        problem = "it is too large for a licence text, or no kind of file that is read"
        return LicenceText(file=file.name, sha256=file.sha256, problem=problem)
    try:
        words = words_of(side[file.name])
    except FormatError as error:
        return LicenceText(file=file.name, sha256=file.sha256, problem=str(error))
    known = identify(words)
    return LicenceText(
        file=file.name, sha256=file.sha256, matches=known.matches, other_words=known.other_words, words=words
    )
