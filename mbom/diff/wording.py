"""One sentence for each kind of change, grouped by section: what terminals, pull requests and reports show.

Texts are printable and otherwise as they were found, so whoever puts them into Markdown or HTML escapes them there.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from mbom.diff.changes import (
    SECTIONS,
    Answer,
    Changes,
    FieldChange,
    FileChange,
    RoleChange,
    Side,
    StoredTensor,
    TensorChange,
    TokenChange,
    WeightChange,
)
from mbom.diff.edits import edits
from mbom.printable import printable
from mbom.quantities import counted
from mbom.strictjson import Json

SHOWN_VALUE = 80  # characters of a value or a name in a sentence; the data has more
RESTRICTIONS = 4  # times as many lines for what a licence restricts: the one that is cut may be the one that binds
TEXT_LINES = 4  # lines of a diff that are shown for each sentence of a section
NAMED = 3  # weights of one side that a sentence names
TIMES = 10.0  # from which a change is so many times a norm, and not a part of it
NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True)
class Group:
    """What there is to say of one section.

    Attributes:
        id: a public id: ``files``, ``tensors``, ``weights``, ``explanations``, ``findings``, ``behaviour``, ``notes``,
            or one of ``SECTIONS``.
        title: for people.
        lines: a sentence each, the most telling first.
        more: how many there are beyond those.
        text: lines that belong under them: of a diff (``mbom.diff.facts.linediff``), or every weight that was edited.
        text_more: how many of those there are beyond the ones given.
    """

    id: str
    title: str
    lines: tuple[str, ...]
    more: int = 0
    text: tuple[str, ...] = ()
    text_more: int = 0


# In the order in which they are shown: what decides first, how it is stored last.
TITLES: Mapping[str, str] = {
    "explanations": "Explanation",
    "licence": "Licence",
    "restrictions": "Restrictions",
    "findings": "Findings",
    "weights": "Weights",
    "behaviour": "Behaviour",
    "chat-template": "Chat template",
    "tokenizer": "Tokenizer",
    "code": "Program code",
    "config": "Configuration",
    "generation": "Generation defaults",
    "architecture": "Architecture",
    "quantisation": "Quantisation",
    "parameters": "Parameters",
    "identity": "Identity",
    "lineage": "Lineage",
    "origin": "Origin",
    "openness": "Openness",
    "tensors": "Tensors",
    "files": "Files",
    "notes": "Not compared",
}


def groups(changes: Changes, *, shown: int | None = None) -> tuple[Group, ...]:
    """Return what there is to say, section by section; sections with nothing to say are left out.

    Args:
        changes: what differs.
        shown: how many lines of each section, and of each diff of a template, are wanted; None for all.
    """
    lines: dict[str, list[str]] = {name: [] for name in TITLES}
    for name, told in _TOLD.items():
        lines[name].extend(told(changes))
    for section in SECTIONS:
        lines[section].extend(field(change) for change in changes.fields if _by_itself(changes, change, section))
    texts = {"chat-template": _text(changes), "explanations": _edits(changes)}
    limit = None if shown is None else TEXT_LINES * shown
    return tuple(
        Group(
            id=name,
            title=TITLES[name],
            lines=tuple(printable(line) for line in held[: _wanted(name, shown)]),
            more=len(held[_wanted(name, shown) :]) if shown is not None else 0,
            text=tuple(texts.get(name, [])[:limit]),
            text_more=len(texts.get(name, [])[limit:]) if limit is not None else 0,
        )
        for name, held in lines.items()
        if held
    )


def _wanted(section: str, shown: int | None) -> int | None:
    return shown * RESTRICTIONS if shown is not None and section == "restrictions" else shown


def _text(changes: Changes) -> list[str]:
    """Return the line diffs of templates, each under its name where there are several."""
    held = [change for change in changes.templates if change.lines]
    named = len(held) > 1
    return [line for change in held for line in (*([f"{change.name}:"] if named else []), *(change.lines or ()))]


def _edits(changes: Changes) -> list[str]:
    """Return every element of the edits of a few weights: which they are is what the alarm is for."""
    return [str(edit) for found in changes.explanations for edit in edits(found)]


def _by_itself(changes: Changes, change: FieldChange, section: str) -> bool:
    """Tell whether a field needs a sentence: the digest of a template that is told of elsewhere does not."""
    if change.section != section:
        return False
    if section != "chat-template":
        return True
    names = [template.name for template in changes.templates]
    return not any(change.name in (name, file := name.rpartition(" ")[0], f"{file}:chat_template") for name in names)


def headline(changes: Changes) -> str:
    """Return what came of it, in one sentence."""
    if changes.identical:
        return "The same files" + ("." if not changes.differs else ", of which different things are said.")
    files = len(changes.files.changes)
    parts = [f"{counted(files, 'file')} of {files + changes.files.identical:,}"]
    if differing := _differing(changes.tensors.counts):
        reasons = ", ".join(found.id for found in changes.explanations)
        parts.append(counted(differing, "tensor") + (f" ({reasons})" if reasons else ""))
    sections = dict.fromkeys(change.section for change in changes.fields)
    parts += [
        f"the {TITLES[section].lower()}" for section in ("licence", "restrictions", "config") if section in sections
    ]
    if changes.templates:
        parts.append("the chat template")
    if changes.behaviour is not None and not changes.behaviour.same:
        parts.append("the answers")
    came = len(changes.findings_new)
    told = f"; {counted(came, 'finding')} more than before" if came else ""
    return f"Different: {_listed(parts)}{told}."


def side(found: Side) -> str:
    """Return what one side is."""
    name = f"{found.repo} @ {found.revision}" if found.repo else found.name
    signed = f", attested {found.attested}" if found.attested else ""
    held = f"a {found.kind}" + (" with its checkpoint" if found.files and found.kind == "bundle" else "")
    return f"{name} · {held}{signed} · sha256:{found.digest[:16]}…"


def _differing(counts: Mapping[str, int]) -> int:
    return sum(number for status, number in counts.items() if status not in ("identical", "resharded", "renamed"))


def _files(changes: Changes) -> Iterator[str]:
    if changes.files.changes:
        yield f"{changes.files.identical:,} identical, {_statuses(change.status for change in changes.files.changes)}"
    yield from (file(change) for change in changes.files.changes)


def file(change: FileChange) -> str:
    """Return the sentence for a file."""
    if change.status == "renamed":
        return f"renamed: {change.old_name} → {change.name}"
    if change.old_size is None or change.new_size is None:
        size = change.new_size if change.old_size is None else change.old_size
        return f"{change.status}: {change.name} ({change.role}, {size:,} bytes)"
    sizes = f"{change.old_size:,} to {change.new_size:,} bytes"
    if change.old_size == change.new_size:
        sizes = f"still {change.new_size:,} bytes"
    return f"changed: {change.name} ({change.role}, {sizes})"


def _tensors(changes: Changes) -> Iterator[str]:
    counts = changes.tensors.counts
    if any(number for status, number in counts.items() if status != "identical"):
        told = [f"{number:,} {status}" for status, number in counts.items() if number or status == "identical"]
        yield ", ".join(told)
    yield from (tensor(change) for change in changes.tensors.changes)


def tensor(change: TensorChange) -> str:
    """Return the sentence for a tensor."""
    if change.status == "renamed":
        return f"renamed: {change.old_name} → {change.name}"
    old, new = change.old, change.new
    if old is not None and new is not None:
        became = "" if _form(old) == _form(new) else f", {_form(old)} → {_form(new)}"
        return f"{change.status}: {change.name}{became}"
    stored = old or new
    assert stored is not None
    side = {"re-encoded": " only before" if new is None else " only after"}.get(change.status, "")
    return f"{change.status}: {change.name} ({_form(stored)}{side})"


def _form(stored: StoredTensor) -> str:
    return f"{stored.dtype} {'x'.join(str(dim) for dim in stored.shape) or 'scalar'}"


def field(change: FieldChange) -> str:
    """Return the sentence for a fact."""
    name = _short(change.name)
    if change.old is None:
        return f"{name}: added {_value(change.new)}"
    if change.new is None:
        return f"{name}: removed, it was {_value(change.old)}"
    if isinstance(change.old, str) and change.old.startswith("sha256:") and len(change.old) == 71:
        return f"{name}: changed"
    return f"{name}: {_value(change.old)} → {_value(change.new)}"


def _value(value: Json) -> str:
    return _short(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_VALUE else f"{text[: SHOWN_VALUE - 1]}…"


def _tokenizer(changes: Changes) -> Iterator[str]:
    found = changes.tokenizer
    if found is None or not (found.added or found.moved or found.removed):
        return
    counts = (("added", found.added), ("at another id", found.moved), ("removed", found.removed))
    yield f"tokens: {_listed([f'{number:,} {word}' for word, number in counts if number])}"
    yield from (token(change) for change in found.listed)


def token(change: TokenChange) -> str:
    """Return the sentence for a token."""
    shown = f"“{change.token}”"
    if change.old_id is None:
        return f"token {shown} added as {change.new_id}"
    if change.new_id is None:
        return f"token {shown} removed, it was {change.old_id}"
    return f"token {shown} moved from {change.old_id} to {change.new_id}"


def _templates(changes: Changes) -> Iterator[str]:
    for change in changes.templates:
        verb = "added" if change.old_sha256 is None else "removed" if change.new_sha256 is None else "changed"
        yield f"{verb}: {_short(change.name)}"


def _findings(changes: Changes) -> Iterator[str]:
    for found in changes.findings_new:
        yield f"new {found.severity}: {found.path}: {found.detail} [{found.id}]"
    for found in changes.findings_gone:
        yield f"gone: {found.severity}: {found.path}: {found.detail} [{found.id}]"


def _weights(changes: Changes) -> Iterator[str]:
    weights = changes.weights
    if weights is None:
        return
    how = "read" if weights.basis == "weights" else "estimated from sketches"
    yield f"{weights.equal:,} of {weights.compared:,} weights equal, {len(weights.changed):,} changed ({how})"
    moved = sum(changes.tensors.counts.get(status, 0) for status in ("changed", "added", "removed"))
    alike = weights.compared == weights.equal and not (weights.only_old or weights.only_new)
    if moved and alike and weights.basis == "sketches":
        yield "stored in another encoding, with the same sketches: the same values, as far as sketches tell"
    both = set(weights.only_old) & set(weights.only_new)
    for word, names in (
        ("in another shape", sorted(both)),
        ("only before", [name for name in weights.only_old if name not in both]),
        ("only after", [name for name in weights.only_new if name not in both]),
    ):
        if names:
            shown = [_short(name) for name in names[:NAMED]]
            first = f"{', '.join(shown)} and {len(names) - NAMED:,} more" if names[NAMED:] else _listed(shown)
            yield f"{counted(len(names), 'weight')} {word}: {first}"
    largest = sorted((item for item in weights.by_layer if item.changed), key=lambda item: -item.relative)
    yield from (layer(item) for item in largest)
    yield from (weight(item) for item in sorted(weights.changed, key=lambda item: -item.relative))


def layer(change: RoleChange) -> str:
    """Return the sentence for the weights of a layer."""
    where = "outside the layers" if change.layer is None else f"layer {change.layer}"
    return f"{where}: {change.changed:,} of {counted(change.weights, 'weight')} changed, {_figures(change)}"


def weight(change: WeightChange) -> str:
    """Return the sentence for a weight."""
    experts = ""
    if change.experts:
        experts = f", in {counted(len(change.experts), 'expert')} of {change.of:,}"
    rank = "" if change.rank is None else f", rank {change.rank:,}"
    return f"{_short(change.name)}: {_figures(change)}{rank}{experts}"


def _figures(change: RoleChange | WeightChange) -> str:
    if not math.isfinite(change.relative):
        told = "from nothing"
    else:
        told = f"by {_relative(change.relative, change.error)} its norm"
    if change.unchanged is not None:
        told += f", {_share(change.unchanged)} of the elements equal"
    if change.largest is not None:
        told += f", the largest change {change.largest:.2g}"
    return told


def _relative(value: float, error: float) -> str:
    """Return how much of a norm, or how many times as much, with no more decimals than an error leaves."""
    if 0.001 <= value < TIMES:
        decimals = 1 - math.floor(math.log10(min(value, error or value)))
        told = f"{value:.{decimals}f}" + (f" ± {error:.{decimals}f}" if error else "")
    else:
        told = f"{value:.1e}" + (f" ± {error:.1e}" if error else "")
    return f"{told} {'of' if value < TIMES else 'times'}"


def _share(share: float) -> str:
    """Return a share in per cent; what is not quite all or nothing is not rounded to it."""
    if 0.999 < share < 1:
        return "more than 99.9%"
    return "less than 0.1%" if 0 < share < 0.001 else f"{share:.1%}"


def _explanations(changes: Changes) -> Iterator[str]:
    for found in changes.explanations:
        left = f", {found.residual:.1e} of the change is left" if found.residual else ""
        yield f"{found.sentence}{left} [{found.id}, {found.outcome}]"


def _behaviour(changes: Changes) -> Iterator[str]:
    found = changes.behaviour
    if found is None or (found.same and changes.identical):
        return
    if found.same:
        yield f"the same answers at {found.positions:,} positions"
        return
    yield (
        f"at {found.positions:,} positions: KL divergence of at least {found.kl_mean:.2g} nats on average and "
        f"{found.kl_largest:.2g} at one of them; the likeliest token is the same at {_share(found.top1_agreement)}"
    )
    for prompt in found.prompts:
        if prompt.kl <= 0 and prompt.top1_agreement == 1:
            continue
        yield (
            f"{prompt.prompt}: {prompt.kl:.2g} nats, top-1 agreement {prompt.top1_agreement:.0%}; next token "
            f"{_answer(prompt.old)} → {_answer(prompt.new)}"
        )


def _answer(answers: tuple[Answer, ...]) -> str:
    if not answers:
        return NOTHING
    first = answers[0]
    text = f"token {first.id}" if first.text is None else f"“{_short(first.text)}”"
    return f"{text} ({first.probability:.0%})"


def _notes(changes: Changes) -> Iterator[str]:
    yield from changes.notes


_TOLD: Mapping[str, Callable[[Changes], Iterable[str]]] = {
    "files": _files,
    "tensors": _tensors,
    "explanations": _explanations,
    "weights": _weights,
    "tokenizer": _tokenizer,
    "chat-template": _templates,
    "findings": _findings,
    "behaviour": _behaviour,
    "notes": _notes,
}


def _statuses(statuses: Iterable[str]) -> str:
    found: dict[str, int] = {}
    for status in statuses:
        found[status] = found.get(status, 0) + 1
    return ", ".join(f"{number:,} {status}" for status, number in found.items())


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
