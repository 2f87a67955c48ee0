"""The facts of two models: what their BOMs say, and the members of their configurations where those are at hand."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from mbom.bom.coverage.view import View
from mbom.bom.description import Description
from mbom.diff.changes import SECTIONS, FieldChange
from mbom.diff.facts import bounded, documents
from mbom.diff.sides import instead
from mbom.dossier import Dossier
from mbom.facts.architecture import CONFIG
from mbom.facts.tokenizer import SPECIAL_TOKENS, TOKENIZER_CONFIG
from mbom.facts.vocabulary import TOKENIZER_JSON
from mbom.inventory import roles
from mbom.printable import printable
from mbom.strictjson import Json

GENERATION_CONFIG = "generation_config.json"
ADDED_TOKENS = "added_tokens.json"
IN_CONFIG = f"{TOKENIZER_CONFIG}:chat_template"  # whatever form it has, also one that mbom reads no template from

# What properties of a BOM explain numbers with, or repeat.
_RULES = (":rule", ":formula", ":method")

# Objects in tokenizer files that the comparison of vocabularies tells better: ids by token. Unigram has a list of
# scores there, which that comparison does not look at.
_TOLD_ELSEWHERE: Mapping[str, tuple[tuple[str, ...], ...]] = {
    TOKENIZER_CONFIG: (),
    SPECIAL_TOKENS: (),
    ADDED_TOKENS: (),
    TOKENIZER_JSON: (("model", "vocab"),),
}

# Roles of files whose digests are facts of a section.
_ROLES: Mapping[str, tuple[str, ...]] = {
    "config": (roles.CONFIG,),
    "chat-template": (roles.CHAT_TEMPLATE,),
    "licence": (roles.LICENCE, roles.POLICY),
    "code": (roles.CODE,),
}

Values = Mapping[str, tuple[str, ...]]


def fields(old: Dossier, new: Dossier) -> tuple[tuple[FieldChange, ...], tuple[str, ...]]:
    """Return every fact that is not the same, section by section, and notes on what could not be compared."""
    found = list(chain(_described(old, new), _whole_files(old, new)))
    if old.inventory.digest == new.inventory.digest:
        # The files are the same. A fact that one BOM alone states is one that the other's writer did not look for.
        found = [change for change in found if None not in (change.old, change.new) or change.section in _OF_SOURCE]
    notes = list(_writers(old, new))
    for section, file in (("config", CONFIG), ("generation", GENERATION_CONFIG)):
        changes, note = _document(section, file, old, new)
        found += changes
        notes += note
    for file in _tokenizer_files(old, new):
        changes, _ = _document("tokenizer", file, old, new)
        found += (
            replace(change, section="chat-template") if change.name.startswith(IN_CONFIG) else change
            for change in changes
        )
    unique = {(change.section, change.name, bounded.lossless([change.old, change.new])): change for change in found}
    order = {section: number for number, section in enumerate(SECTIONS)}
    return tuple(sorted(unique.values(), key=lambda change: (order[change.section], change.name))), tuple(notes)


def _writers(old: Dossier, new: Dossier) -> Iterator[str]:
    """Yield that the BOMs are by different versions of mbom, which state different facts."""
    versions = [", ".join(tool["version"].text for tool in View(side.document).tools) for side in (old, new)]
    if versions[0] != versions[1] and old.inventory.digest != new.inventory.digest:
        told = " and ".join(printable(version) or "no version" for version in versions)
        yield (
            f"the BOMs are by different versions of mbom ({told}): a fact that only one of them states may be one that "
            "the other did not look for"
        )


# What depends on where a model was taken from and not on its files alone.
_OF_SOURCE = frozenset({"identity", "lineage", "origin"})


def _described(old: Dossier, new: Dossier) -> Iterator[FieldChange]:
    for section, values in _SECTIONS.items():
        before, after = values(old.described), values(new.described)
        for name in before.keys() | after.keys():
            yield from _set(section, name, before.get(name, ()), after.get(name, ()))


def _set(section: str, name: str, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[FieldChange]:
    """Yield how a fact changed; of one with several values, each value that came or went by itself."""
    gone = [value for value in dict.fromkeys(old) if value not in set(new)]
    came = [value for value in dict.fromkeys(new) if value not in set(old)]
    if len(gone) == len(came) == 1:
        yield _field(section, name, gone[0], came[0])
        return
    yield from (_field(section, name, value, None) for value in gone)
    yield from (_field(section, name, None, value) for value in came)


def _field(section: str, name: str, old: str | None, new: str | None) -> FieldChange:
    values = [None if value is None else bounded.value(value) for value in (old, new)]
    return FieldChange(section=section, name=bounded.name(name), old=values[0], new=values[1])


def _some(pairs: Iterable[tuple[str, str | None]]) -> Values:
    return {name: (value,) for name, value in pairs if value is not None}


def _below(*prefixes: str) -> Callable[[Description], Values]:
    """Return what takes the properties whose names begin so, without what only explains them.

    Of a single prefix the names are taken without it.
    """
    start = len(prefixes[0]) if len(prefixes) == 1 else 0

    def taken(described: Description) -> Values:
        return {
            name[start:]: values
            for name, values in described.properties.items()
            if f"{name}:".startswith(prefixes) and not name.endswith(_RULES)
        }

    return taken


def _identity(described: Description) -> Values:
    return _some([("repository", described.repo), ("revision", described.version if described.repo else None)])


def _architecture(described: Description) -> Values:
    named = _some([("model-type", described.model_type), ("class", described.classes)])
    return {**_below("architecture:")(described), **named}


def _tokenizer(described: Description) -> Values:
    left_out = ("chat-template", "file")
    return {name: values for name, values in _below("tokenizer:")(described).items() if name not in left_out}


def _templates(described: Description) -> Values:
    return {f"{item.file} {item.name}": (f"sha256:{item.sha256}",) for item in described.templates}


def _licence(described: Description) -> Values:
    told = _below("licence:")(described)
    detected: dict[str, tuple[str, ...]] = {}
    for item in described.licences_detected:
        name = f"detected in {item.file}"
        detected[name] = (*detected.get(name, ()), f"{item.id} ({item.match})")
    unknown = {f"detected in {file}": ("unknown",) for file in described.licence_texts_unknown}
    left_out = ("declared", "detected", "restriction")
    return {
        **{name: values for name, values in told.items() if name not in left_out},
        **unknown,
        **detected,
        "declared": described.licences_declared,
    }


def _restrictions(described: Description) -> Values:
    """Return the restrictions by kind; in which line of which text one stands makes it no other."""
    found: dict[str, tuple[str, ...]] = {}
    for item in described.restrictions:
        value = ": ".join(part for part in (item.value, item.scope) if part is not None) or "applies"
        found[item.kind] = (*found.get(item.kind, ()), value)
    return found


def _lineage(described: Description) -> Values:
    counts = ("base-models", "datasets")
    found = {name: values for name, values in _below("lineage:")(described).items() if name not in counts}
    found["dataset"] = described.datasets
    for item in described.ancestors:
        found[f"base {item.name}"] = (" and ".join(item.relations) or "relation not declared",)
        found[f"base {item.name}, compared"] = (item.verified or "unknown",)
    return found


def _origin(described: Description) -> Values:
    return {
        **_below("producer:")(described),
        **_some([("gated", described.gated), ("source", described.first("source"))]),
    }


def _openness(described: Description) -> Values:
    """Return the class, what it lacks, and of each component whether it is there."""
    told = _below("openness:")(described)
    states = {name: tuple(value.partition(" ")[0] for value in values) for name, values in told.items()}
    left_out = ("class", "open-source", "link", *(name for name in told if name.startswith("class-")))
    _, _, lacks = (described.openness_lacks or "").partition(" lacks ")
    return {
        **{name: values for name, values in states.items() if name not in left_out},
        **_some([("class", described.openness)]),
        "lacks": tuple(part for part in lacks.split("; ") if part),
    }


_SECTIONS: Mapping[str, Callable[[Description], Values]] = {
    "identity": _identity,
    "architecture": _architecture,
    "parameters": _below("parameters:"),
    "quantisation": _below("quantisation:", "packing:"),
    "tokenizer": _tokenizer,
    "chat-template": _templates,
    "licence": _licence,
    "restrictions": _restrictions,
    "lineage": _lineage,
    "origin": _origin,
    "openness": _openness,
    "code": _below("remote-code:", "code:", "pickle:"),
}


def _whole_files(old: Dossier, new: Dossier) -> Iterator[FieldChange]:
    """Yield the files that are not the same, by their digests, under the section that their role belongs to.

    That holds for texts that nobody could read, too.
    """
    told = (CONFIG, GENERATION_CONFIG)
    for section, held in _ROLES.items():
        before, after = (
            {
                file.name: f"sha256:{file.sha256}"
                for file in side.inventory.files
                if file.role in held and file.name not in told
            }
            for side in (old, new)
        )
        yield from documents.changes(section, before, after)


def _tokenizer_files(old: Dossier, new: Dossier) -> list[str]:
    names = {file.name for dossier in (old, new) for file in dossier.inventory.files if file.role == roles.TOKENIZER}
    return sorted(names)


def _document(section: str, file: str, old: Dossier, new: Dossier) -> tuple[list[FieldChange], list[str]]:
    """Compare a file member by member where both sides have its text, else by its digest."""
    digests = [{item.name: item.sha256 for item in side.inventory.files}.get(file) for side in (old, new)]
    if digests[0] == digests[1]:
        return [], []
    flat = [_flat(file, side, digest) for side, digest in zip((old, new), digests, strict=True)]
    before, after = flat
    if before is not None and after is not None:
        prefix = f"{file}:" if section == "tokenizer" else ""
        renamed = [{prefix + name: value for name, value in side.items()} for side in (before, after)]
        return list(documents.changes(section, renamed[0], renamed[1])), []
    old_digest, new_digest = (None if digest is None else f"sha256:{digest}" for digest in digests)
    note = f"the members of {file}, which is not the same: {_missing([old, new], flat)}"
    return [FieldChange(section=section, name=file, old=old_digest, new=new_digest)], [note]


def _missing(sides: Sequence[Dossier], held: Sequence[object]) -> str:
    """Say whose members nobody can tell, and what would help."""
    unread = [side for side, members in zip(sides, held, strict=True) if members is None]
    bundles = [side for side in unread if not side.holds_files]
    if bundles:
        return instead(bundles)
    names = " and ".join(side.label for side in unread)
    return f"of {names} it is no strict JSON object, or has more than {documents.MEMBERS_LIMIT:,} members"


def _flat(file: str, side: Dossier, digest: str | None) -> dict[str, Json] | None:
    """Return the members of a file, none where there is no such file; None where nobody can tell them."""
    if digest is None:
        return {}
    if file not in side.side or not (file in _TOLD_ELSEWHERE or file in (CONFIG, GENERATION_CONFIG)):
        return None
    return documents.flat(side.side[file], what=file, without=_TOLD_ELSEWHERE.get(file, ()))
