"""Which licence covers a file of the checkpoint, and whether it is an open one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from mbom.facts.card import CARD, Card
from mbom.facts.mof import Component, words
from mbom.facts.openlicences import CODE, DATA, DOCUMENT, is_open, suits
from mbom.inventory.record import FileRecord
from mbom.inventory.roles import LICENCE

# Words of a licence file's name that say what it is for, as in LICENSE-CODE and LICENSE-MODEL.
_FOR_CODE = frozenset({"code"})
_FOR_WEIGHTS = frozenset({"model", "weights", "weight"})
_FOR_DATA = frozenset({"data", "dataset", "datasets"})
_FOR_DOCUMENTS = frozenset({"docs", "documentation"})
_NAMED = _FOR_CODE | _FOR_WEIGHTS | _FOR_DATA | _FOR_DOCUMENTS


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms that cover something.

    Attributes:
        says: the licences and where each of them is stated.
        open: whether all of them are open; None where that is not known of one of them.
        suited: whether all of them are of the sort that the framework prefers for this kind of content.
    """

    says: str
    open: bool | None
    suited: bool

    @property
    def verdict(self) -> str:
        """``open``, ``not open`` or ``unknown``."""
        return {True: "open", False: "not open", None: "unknown"}[self.open]


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """The licences of a checkpoint and what each of them covers.

    The nearest licence file covers a file: in its own folder or one above it; at the root one that names a kind of
    content before the others. Where nothing nearer is found, the card's licence covers it together with what the
    licence files at the root hold: where they differ, something is open only if every one of them is.

    Attributes:
        card: for the licence as declared.
        texts: the licence files of each folder, ``""`` for the root.
        detected: the licences that each licence file was found to hold; None where nobody has read them, and the card's
            word is all there is.
    """

    card: Card
    texts: Mapping[str, Sequence[str]]
    detected: Mapping[str, Sequence[str]] | None = None
    _cache: dict[tuple[str, str, bool], Terms] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(
        cls, files: Sequence[FileRecord], card: Card, detected: Mapping[str, Sequence[str]] | None = None
    ) -> "Coverage":
        """Return the coverage of a checkpoint's files."""
        texts: dict[str, list[str]] = defaultdict(list)
        for file in files:
            path = PurePosixPath(file.name)
            if file.role == LICENCE and not path.name.lower().startswith(("notice", "patents", "copyright")):
                texts[_folder(path)].append(file.name)
        return cls(card=card, texts=texts, detected=detected)

    def covering(self, path: str, component: Component) -> Terms:
        """Return the terms of the file at ``path``, which stands for a component."""
        weights = component.key.endswith("-parameters")
        key = (_folder(PurePosixPath(path)), component.kind, weights)
        if key not in self._cache:
            self._cache[key] = self._terms(PurePosixPath(path), component.kind, weights=weights)
        return self._cache[key]

    def _terms(self, path: PurePosixPath, kind: str, *, weights: bool) -> Terms:
        for parent in path.parents:
            if str(parent) != "." and str(parent) in self.texts:
                return self._joined(self._held(self.texts[str(parent)]), kind)
        wanted = _FOR_WEIGHTS if weights else {CODE: _FOR_CODE, DATA: _FOR_DATA, DOCUMENT: _FOR_DOCUMENTS}[kind]
        root = self.texts.get("", ())
        particular = [name for name in root if words(name) & wanted]
        if particular:
            return self._joined(self._held(particular), kind)
        general = [name for name in root if not words(name) & _NAMED]
        stated: list[tuple[str | None, str]] = [(name, CARD) for name in self._declared()]
        if self.detected is not None or not stated:
            stated += self._held(general)
        if not stated:
            return Terms(says="no licence", open=False, suited=False)
        return self._joined(stated, kind)

    def _declared(self) -> list[str]:
        licence = self.card.licence
        if licence is None:
            return []
        return [licence.name if key == "other" and licence.name else key for key in licence.ids] or [licence.label]

    def _held(self, names: Sequence[str]) -> list[tuple[str | None, str]]:
        """Return the licences that files hold, each with its file; None for a text that nobody has identified."""
        detected = self.detected or {}
        return [(key, name) for name in names for key in (detected.get(name) or (None,))]

    @staticmethod
    def _joined(stated: Sequence[tuple[str | None, str]], kind: str) -> Terms:
        verdicts = {is_open(key) if key is not None else None for key, _ in stated}
        return Terms(
            says=", ".join(f"{key or 'not identified'} ({source})" for key, source in stated),
            open=False if False in verdicts else None if None in verdicts else True,
            suited=all(key is not None and suits(key, kind) for key, _ in stated),
        )


def _folder(path: PurePosixPath) -> str:
    return "" if str(path.parent) == "." else str(path.parent)
