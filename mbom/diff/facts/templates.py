"""The chat templates of two models, and a line diff that people can read where both texts are at hand."""

from dataclasses import dataclass

from mbom.diff.changes import TemplateChange
from mbom.diff.facts import bounded
from mbom.diff.facts.linediff import unified
from mbom.diff.facts.pairing import matched
from mbom.diff.sides import instead
from mbom.digest import sha256
from mbom.dossier import Dossier
from mbom.errors import FormatError
from mbom.facts.members import Members, read_object
from mbom.facts.templates import TEMPLATE_JSON, Source, file_sources, member_sources
from mbom.facts.tokenizer import TOKENIZER_CONFIG

TOTAL_LIMIT = 4000  # lines of all templates that are compared; honest tokenizers have one to four templates


@dataclass(frozen=True, kw_only=True)
class _Template:
    """A template of one side: its file and name, the digest of its text, and the text where that is at hand."""

    label: str
    sha256: str
    text: str | None

    @property
    def name(self) -> str:
        return self.label.rpartition(" ")[2]


_Pair = tuple[_Template | None, _Template | None]


def templates(old: Dossier, new: Dossier) -> tuple[tuple[TemplateChange, ...], tuple[str, ...]]:
    """Compare chat templates by file and name, then by name alone: one that merely moved to another file is the same.

    Returns:
        The templates that are not the same, and notes on those whose texts could not be shown.
    """
    found, notes, budget = list[TemplateChange](), list[str](), TOTAL_LIMIT
    for one, other in sorted(_pairs(old, new), key=_label):
        if one is not None and other is not None and one.sha256 == other.sha256:
            continue
        label = bounded.name(_label((one, other)))
        lines = None
        held = ((old, one), (new, other))
        unread = [side for side, template in held if template is not None and template.text is None]
        if unread:
            bundles = [side for side in unread if not side.holds_files]
            helps = instead(bundles) if bundles else f"that of {unread[0].label} is not UTF-8"
            notes.append(f"the text of chat template {label}, which is not the same: {helps}")
        else:
            try:
                lines, used = unified(*(held.text if held else None for held in (one, other)), budget=budget)
                budget -= used
            except FormatError as error:
                notes.append(f"the text of chat template {label}, which is not the same: {error}")
        found.append(
            TemplateChange(
                name=label,
                old_sha256=None if one is None else one.sha256,
                new_sha256=None if other is None else other.sha256,
                lines=lines,
            )
        )
    return tuple(found), tuple(notes)


def _pairs(old: Dossier, new: Dossier) -> list[_Pair]:
    paired, gone, came = matched(_templates(old), _templates(new), lambda template: template.label)
    moved, gone, came = matched(gone, came, lambda template: template.name)
    left: list[_Pair] = [*paired, *moved]
    left += [(template, None) for template in gone]
    left += [(None, template) for template in came]
    return left


def _label(pair: _Pair) -> str:
    one, other = pair
    shown = other or one
    assert shown is not None
    return shown.label


def _templates(side: Dossier) -> list[_Template]:
    """Return the templates of one side: from its files, or else as its BOM lists them."""
    if not side.holds_files:
        listed = side.described.templates
        return [_Template(label=f"{item.file} {item.name}", sha256=item.sha256, text=None) for item in listed]
    return [
        _Template(
            label=f"{source.place.file} {source.name}",
            sha256=sha256(source.data if source.text is None else source.text.encode()),
            text=source.text,
        )
        for source in _sources(side)
    ]


def _sources(side: Dossier) -> list[Source]:
    found = list(file_sources(side.side))
    for file in (TEMPLATE_JSON, TOKENIZER_CONFIG):
        document, _ = read_object(file, side.side[file]) if file in side.side else (None, ())
        if document is not None:
            found += member_sources(Members(file, document))
    return found
