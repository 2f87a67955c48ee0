"""The sections on what differs between two models."""

import json
import math
from collections.abc import Iterable, Iterator

from mbom.diff.changes import EXPLANATIONS, SECTIONS, Changes, Explanation, FieldChange, RoleChange, Side, Weights
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.report import claims, drawings, figures
from mbom.report.behaviour import ANSWERS, answer, prompt_text
from mbom.report.blocks import (
    Banner,
    Block,
    Cell,
    Code,
    Fact,
    Facts,
    Fold,
    Lines,
    Mark,
    Picture,
    Prose,
    Section,
    Table,
    Tone,
    shortened,
)
from mbom.report.claims import Verified
from mbom.report.model import ROWS, bullets, findings

LAYERS = 1_000  # that are drawn; the deepest published models have under 130
NAMED = 10  # weights or experts that a sentence or cell spells out
ALARMING = frozenset({"few-weights-edit"})
TITLES = {
    "identity": "Identity",
    "config": "Configuration",
    "generation": "Defaults of generation",
    "architecture": "Architecture",
    "parameters": "Parameters",
    "quantisation": "Quantisation",
    "tokenizer": "Tokenizer",
    "chat-template": "Chat template",
    "licence": "Licence",
    "restrictions": "Restrictions",
    "lineage": "Lineage",
    "origin": "Origin",
    "openness": "Openness",
    "code": "Program code",
}
# Sections of facts that have a section of the page; the others are the configuration's.
LEGAL = ("licence", "restrictions")
ORIGIN = ("identity", "lineage", "origin", "openness")


def title(found: Changes) -> str:
    """Return the models' names, one where both have the same."""
    old, new = found.old.name, found.new.name
    return new if old == new else f"{old} → {new}"


def subtitle(found: Changes) -> str:
    """Return which two they are."""
    return " → ".join(f"commit {side.revision}" if side.revision else f"digest {side.digest[:16]}…"
                      for side in (found.old, found.new))  # fmt: skip


def banner(found: Changes, verified: Verified | None) -> Banner:
    """Return whether they are the same files, and what was verified of the new one."""
    told = claims.banner(verified)
    if found.identical:
        first = "Both are the same files, byte for byte."
    elif _in_place(found):
        first = "The same repository and commit now hold other files: what was published was changed in place."
        return Banner(tone="bad", title="Changed in place", text=f"{first} {told.title}: {told.text}")
    else:
        first = "They are not the same files."
    if verified is None:
        return Banner(
            tone="mind",
            title="Nothing was verified",
            text=f"{first} This page says what the two sides say of themselves; no signature was checked.",
        )
    return Banner(tone=told.tone, title=f"{told.title}: the new model", text=f"{first} {told.text}")


def at_a_glance(found: Changes) -> Section:
    """Return the few things that most readers come for."""
    items = [
        Fact(label="Licence and restrictions", value=_counted(found, LEGAL)),
        Fact(label="Weights", value=_weights_glance(found), note=_basis(found.weights)),
        Fact(label="Explained as", value=_explained(found.explanations)),
        Fact(label="Answers", value=_behaviour_glance(found)),
        Fact(label="Tokenizer and template", value=_text_glance(found)),
        Fact(
            label="Findings",
            value=Mark(text=f"{len(found.findings_new):,} new", tone="mind") if found.findings_new else "none new",
            note=f"{len(found.findings_gone):,} gone" if found.findings_gone else "",
        ),
    ]
    return Section(id="glance", title="At a glance", blocks=(Facts(items=tuple(items), large=True), _sides(found)))


def sections(found: Changes) -> Iterator[Section]:
    """Return everything that differs; a section only where there is something to say."""
    yield Section(id="licence", title="Licence and restrictions", blocks=tuple(_legal(found)))
    yield Section(id="weights", title="Weights", blocks=tuple(_weights(found)))
    yield Section(id="behaviour", title="Behaviour", blocks=tuple(_behaviour(found)))
    yield findings(found.findings_new, title="Findings that are new", none="No finding is new.")
    if found.findings_gone:
        yield findings(found.findings_gone, title="Findings that are gone", anchor="gone", none="")
    text = tuple(_tokenizer(found))
    yield Section(id="tokenizer", title="Tokenizer and chat template", blocks=text)
    rest = tuple(name for name in SECTIONS if name not in (*LEGAL, *ORIGIN, "tokenizer", "chat-template"))
    yield Section(id="origin", title="Lineage, origin and openness", blocks=_facts(found, ORIGIN))
    yield Section(id="configuration", title="Configuration and architecture", blocks=_facts(found, rest))
    yield Section(id="files", title="Files and tensors", blocks=tuple(_stored(found)))
    if found.notes:
        told = Prose(text="What could not be compared, and why:")
        yield Section(id="notes", title="What was not compared", blocks=(told, bullets(found.notes)))


def _in_place(found: Changes) -> bool:
    """Tell whether one commit of one repository has two contents."""
    old, new = found.old, found.new
    named = old.repo is not None and old.revision is not None
    return named and (old.repo, old.revision) == (new.repo, new.revision) and not found.identical


def _sides(found: Changes) -> Table:
    def told(side: Side) -> tuple[Cell, ...]:
        return (
            side.name,
            Code(text=side.revision) if side.revision else "a folder",
            Code(text=side.digest),
            side.attested or "not signed",
            "recorded" if side.record else "not recorded",
        )

    labels = ("Name", "Commit", "Model digest", "Attested, by the signer's clock", "Behaviour")
    rows = tuple(zip(labels, told(found.old), told(found.new), strict=True))
    return Table(caption="The two models", columns=("What", "Old", "New"), rows=rows)


def _counted(found: Changes, names: Iterable[str]) -> Cell:
    held = [change for change in found.fields if change.section in names]
    if not held:
        return Mark(text="the same", tone="good")
    return Mark(text=figures.several(len(held), "change"), tone="mind")


def _weights_glance(found: Changes) -> Cell:
    weights = found.weights
    if weights is None:
        return Mark(text="not compared", tone="mind")
    other = len(weights.only_old) + len(weights.only_new)
    if weights.compared == weights.equal and not other:
        return Mark(text="the same values", tone="good")
    return f"{weights.compared - weights.equal + other:,} of {weights.compared + other:,} changed"


def _basis(weights: Weights | None) -> str:
    if weights is None:
        return ""
    return "exactly, from the weights" if weights.basis == "weights" else "estimated from the sketches of the records"


def _explained(held: tuple[Explanation, ...]) -> Cell:
    if not held:
        return "nothing known"
    return tuple(Mark(text=f"{item.id} ({item.outcome})", tone=_tone(item)) for item in held[:3])


def _tone(item: Explanation) -> Tone:
    if item.id in ALARMING:
        return "bad"
    return "good" if item.outcome == "explained" else "mind"


def _behaviour_glance(found: Changes) -> Cell:
    behaviour = found.behaviour
    if behaviour is None:
        return Mark(text="not compared", tone="mind")
    if behaviour.same:
        return Mark(text="the same", tone="good")
    return f"{behaviour.top1_agreement:.1%} agree"


def _text_glance(found: Changes) -> Cell:
    held = [change for change in found.fields if change.section in ("tokenizer", "chat-template")]
    tokens = found.tokenizer is not None and bool(found.tokenizer.added or found.tokenizer.moved
                                                  or found.tokenizer.removed)  # fmt: skip
    if held or found.templates or tokens:
        return Mark(text="changed", tone="mind")
    if found.tokenizer is None and not found.identical:
        return Mark(text="vocabulary not compared", tone="mind")
    return Mark(text="the same", tone="good")


def _legal(found: Changes) -> Iterator[Block]:
    held = [change for change in found.fields if change.section == "restrictions"]
    if held:
        rows, more = shortened(
            [
                (
                    change.name,
                    Mark(text="new", tone="bad")
                    if change.old is None
                    else Mark(text="gone", tone="good")
                    if change.new is None
                    else Mark(text="changed", tone="mind"),
                    (RESTRICTIONS.get(change.name, "A restriction in words that mbom does not know; read the text."),
                     *_values(change)),
                )
                for change in held
            ],
            ROWS,
        )  # fmt: skip
        yield Table(
            caption="Restrictions that came, went or changed, in plain words",
            columns=("Restriction", "What happened", "In plain words"),
            rows=rows,
            more=more,
        )
    else:
        yield Prose(text="The restrictions that mbom reads are the same on both sides.")
    licences = [change for change in found.fields if change.section == "licence"]
    if licences:
        yield _table(licences, "What else differs in the licence")


def _values(change: FieldChange) -> Iterator[str]:
    old, new = _value(change.old), _value(change.new)
    if change.old is not None and change.new is not None:
        yield f"It said: {old}. It says: {new}."
    else:
        told = new if change.old is None else old
        if told != "applies":
            yield f"It says: {told}."


def _value(value: object) -> str:
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def _facts(found: Changes, names: Iterable[str]) -> tuple[Block, ...]:
    tables = []
    for name in names:
        held = [change for change in found.fields if change.section == name]
        if held:
            tables.append(_table(held, TITLES[name]))
    return tuple(tables) or (Prose(text="Nothing differs."),)


def _table(held: list[FieldChange], caption: str) -> Table:
    listed: list[tuple[Cell, ...]] = [
        (Code(text=change.name), _value(change.old), _value(change.new)) for change in held
    ]
    rows, more = shortened(listed, ROWS)
    where = "`mbom diff --json` has them all"
    return Table(caption=caption, columns=("Fact", "Old", "New"), rows=rows, more=more, where=where)


def _weights(found: Changes) -> Iterator[Block]:
    yield from _explanations(found.explanations)
    weights = found.weights
    if weights is None:
        yield Prose(
            text="The values were not compared: that takes behaviour records on both sides, or the checkpoints themselves."
        )
        return
    if weights.compared:
        yield Prose(
            text=f"{weights.equal:,} of {figures.several(weights.compared, 'weight')} that both sides have are equal. "
            + (
                "Figures are exact: they were computed from the weights."
                if weights.basis == "weights"
                else "Figures are estimates from the sketches in the behaviour records, each with its error: in 95 of "
                "100 cases the truth is within it."
            )
        )
    yield from _layers(weights)
    yield from _roles(weights)
    yield from _largest(weights)
    for names, told in ((weights.only_old, "Weights that only the old side has"),
                        (weights.only_new, "Weights that only the new side has")):  # fmt: skip
        if names:
            blocks = (bullets(Code(text=name) for name in names),)
            yield Fold(title=f"{told}: {len(names):,}", blocks=blocks)


def _explanations(held: tuple[Explanation, ...]) -> Iterator[Block]:
    if not held:
        yield Prose(text="No named explanation accounts for what changed in the weights.")
        return
    rows: list[tuple[Cell, ...]] = []
    for item in held[:ROWS]:
        details = tuple(f"{name}: {_value(value)}" for name, value in sorted(item.details.items()))
        more = "…" if item.weights > NAMED else ""
        rows.append(
            (
                (item.id, EXPLANATIONS.get(item.id, "")),
                Mark(text=item.outcome, tone=_tone(item)),
                (item.sentence, *details),
                (figures.several(item.weights, "weight"),
                 *(Code(text=name) for name in item.names[:NAMED]), *((more,) if more else ())),
                "nobody can tell" if item.residual is None else figures.relative(item.residual),
            )
        )  # fmt: skip
    yield Table(
        caption="What explains the change of the weights",
        columns=("Explanation", "Outcome", "What was found", "Accounts for", "What is left"),
        rows=tuple(rows),
    )
    yield Prose(
        text="Explained: nothing but rounding is left. Consistent: it fits, and cannot be proven from what is at hand."
    )


def _layers(weights: Weights) -> Iterator[Block]:
    held = {item.layer: item for item in weights.by_layer if item.layer is not None}
    if not held:
        return
    if max(held) - min(held) < LAYERS:
        points = {layer: (item.relative, item.error) for layer, item in held.items()}
        yield Picture(drawing=drawings.chart("layers", points))
    listed = [_row(str(item.layer) if item.layer is not None else "outside of layers", item)
              for item in weights.by_layer]  # fmt: skip
    rows, more = shortened(listed, ROWS)
    table = Table(caption="Change by layer", columns=("Layer", *_COLUMNS), rows=rows, numeric=_NUMERIC, more=more)
    yield Fold(title="The same as a table", blocks=(table,))


_COLUMNS = ("Weights changed", "Relative change", "Equal elements", "Largest change")
_NUMERIC = (1, 2, 3, 4)


def _row(name: Cell, item: RoleChange) -> tuple[Cell, ...]:
    return (
        name,
        f"{item.changed:,} of {item.weights:,}",
        figures.relative(item.relative, item.error),
        "–" if item.unchanged is None else figures.share(item.unchanged, 1),
        "–" if item.largest is None else figures.relative(item.largest),
    )


def _roles(weights: Weights) -> Iterator[Block]:
    """Yield each role once: how many weights of it changed in all layers, and where the most."""
    held: dict[str, list[RoleChange]] = {}
    for item in weights.by_role:
        if item.changed:
            held.setdefault(item.role or "", []).append(item)
    listed: list[tuple[Cell, ...]] = []
    for role, items in sorted(held.items()):
        worst = max(items, key=lambda item: _sortable(item.relative))
        where = "outside of layers" if worst.layer is None else f"layer {worst.layer}"
        listed.append(
            (Code(text=role), f"{sum(item.changed for item in items):,}",
             f"{figures.relative(worst.relative, worst.error)}", where)
        )  # fmt: skip
    if listed:
        rows, more = shortened(listed, ROWS)
        yield Table(
            caption="Change by role of the weight",
            columns=("Role", "Changed", "Largest relative change", "Where"),
            rows=rows,
            numeric=(1, 2),
            more=more,
        )


def _largest(weights: Weights) -> Iterator[Block]:
    held = sorted(weights.changed, key=lambda item: (-_sortable(item.relative), item.name))
    listed: list[tuple[Cell, ...]] = [
        (
            Code(text=item.name),
            figures.relative(item.relative, item.error),
            "–" if item.unchanged is None else figures.share(item.unchanged, 1),
            "–" if item.rank is None else f"{item.rank:,}",
            f"{figures.ranges(item.experts[:NAMED])}{'…' if len(item.experts) > NAMED else ''} of {item.of:,}"
            if item.experts
            else "–",
        )
        for item in held[:ROWS]
    ]
    if listed:
        table = Table(
            caption="Weights that changed, the most changed first",
            columns=("Weight", "Relative change", "Equal elements", "Rank of the change", "Experts"),
            rows=tuple(listed),
            numeric=(1, 2, 3),
            more=max(0, len(held) - ROWS),
            where="`mbom diff --json` has them all",
        )
        yield Fold(title=f"Weight by weight: {len(held):,} changed", blocks=(table,))


def _sortable(value: float) -> float:
    return value if not math.isnan(value) else math.inf


def _behaviour(found: Changes) -> Iterator[Block]:
    held = found.behaviour
    if held is None:
        yield Prose(
            text="The answers were not compared: that takes behaviour records under the same prompts on both sides."
        )
        return
    if held.same:
        yield Prose(text="The records match: both models compute the same on the prompts of the record.")
    facts = (
        Fact(label="Same likeliest token", value=f"{held.top1_agreement:.1%} of {held.positions:,} positions"),
        Fact(
            label="KL divergence, mean",
            value=f"{figures.relative(held.kl_mean)} nats",
            note="from the old answers to the new ones; at least this much",
        ),
        Fact(label="KL divergence, largest", value=f"{figures.relative(held.kl_largest)} nats", note="at one position"),
    )
    yield Facts(items=facts)
    listed: list[tuple[Cell, ...]] = []
    for item in held.prompts:
        old = tuple(_likeliest(answer(one.text, one.id, one.probability) for one in item.old[:ANSWERS]))
        new = tuple(_likeliest(answer(one.text, one.id, one.probability) for one in item.new[:ANSWERS]))
        listed.append(
            ((item.prompt, prompt_text(item.prompt)), old, new, f"{item.top1_agreement:.1%}",
             figures.relative(item.kl))
        )  # fmt: skip
    if listed:
        rows, more = shortened(listed, ROWS)
        yield Table(
            caption="Likeliest tokens at the end of each prompt, the most changed prompt first",
            columns=("Prompt, and how it begins", "Old", "New", "Agreement", "KL, nats"),
            rows=rows,
            numeric=(3, 4),
            more=more,
        )


def _likeliest(answers: Iterable[Cell]) -> Iterator[Code]:
    for held in answers:
        assert isinstance(held, tuple)
        token, probability = held
        assert isinstance(token, Code)
        yield Code(text=f"{token.text}  {probability}")


def _tokenizer(found: Changes) -> Iterator[Block]:
    change = found.tokenizer
    if change is None:
        yield Prose(text="The vocabularies were not compared; see what was not compared, below.")
    else:
        yield Prose(
            text=f"{figures.several(change.added, 'token')} added, {change.moved:,} moved to another id, "
            f"{change.removed:,} removed."
        )
        listed: list[tuple[Cell, ...]] = [
            (Code(text=item.token.replace(" ", "␣") or "(nothing)"), _id(item.old_id), _id(item.new_id))
            for item in change.listed
        ]
        if listed:
            rows, more = shortened(listed, ROWS)
            more += max(0, change.added + change.moved + change.removed - len(listed))
            table = Table(caption="Tokens", columns=("Token", "Old id", "New id"), rows=rows, numeric=(1, 2), more=more)
            yield Fold(title="Token by token", blocks=(table,))
    facts = [item for item in found.fields if item.section in ("tokenizer", "chat-template")]
    if facts:
        yield _table(facts, "What else differs in tokenizer and template")
    for template in found.templates:
        what = f"Chat template {template.name}"
        if template.lines is not None:
            yield Lines(
                caption=what, lines=template.lines[:ROWS], more=max(0, len(template.lines) - ROWS)
            )
        else:
            told = " → ".join(digest or "none" for digest in (template.old_sha256, template.new_sha256))
            yield Prose(text=f"{what}: {told}. Its text is not at hand on both sides.")


def _id(number: int | None) -> str:
    return "–" if number is None else str(number)


def _stored(found: Changes) -> Iterator[Block]:
    files = found.files
    listed: list[tuple[Cell, ...]] = [
        (
            Code(text=item.name),
            (item.status, *((f"was {item.old_name}",) if item.old_name not in (None, item.name) else ())),
            item.role,
            "–" if item.old_size is None else figures.size(item.old_size),
            "–" if item.new_size is None else figures.size(item.new_size),
        )
        for item in files.changes
    ]
    rows, more = shortened(listed, ROWS)
    told = figures.several(files.identical, "file")
    if rows:
        yield Table(
            caption=f"Files that are not the same; {told} are",
            columns=("File", "What happened", "Role", "Old size", "New size"),
            rows=rows,
            numeric=(3, 4),
            more=more,
            where="`mbom diff --json` has them all",
        )
    else:
        yield Prose(text=f"All files are the same: {told}.")
    counts = tuple((name, f"{number:,}") for name, number in found.tensors.counts.items() if number)
    if counts:
        yield Table(
            caption="Tensors, as they are stored", columns=("What happened", "Tensors"), rows=counts, numeric=(1,)
        )
