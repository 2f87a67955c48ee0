"""The sections on what differs between two models."""

from collections.abc import Iterable, Iterator

from mbom.diff.changes import SECTIONS, Changes, FieldChange, Side, Weights
from mbom.diff.wording import TITLES, headline
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.quantities import counted, size
from mbom.report import claims, figures, weights
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
    Prose,
    Section,
    Table,
    shortened,
)
from mbom.report.claims import Verified
from mbom.report.model import ROWS, bullets, findings

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
    if _in_place(found):
        first = "The same repository and commit now hold other files: what was published was changed in place."
        return Banner(tone="bad", title="Changed in place", text=f"{first} {told.title}: {told.text}")
    first = headline(found)
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
        Fact(label="Explained as", value=_explained(found)),
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
    yield Section(id="weights", title="Weights", blocks=tuple(weights.blocks(found)))
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
    return Mark(text=counted(len(held), "change"), tone="mind")


def _weights_glance(found: Changes) -> Cell:
    held = found.weights
    if held is None:
        return Mark(text="not compared", tone="mind")
    other = len(held.only_old) + len(held.only_new)
    if held.compared == held.equal and not other:
        return Mark(text="the same values", tone="good")
    return f"{held.compared - held.equal + other:,} of {held.compared + other:,} changed"


def _basis(held: Weights | None) -> str:
    if held is None:
        return ""
    return "exactly, from the weights" if held.basis == "weights" else "estimated from the sketches of the records"


def _explained(found: Changes) -> Cell:
    held = found.explanations
    if not held:
        if found.weights is None and not found.identical:
            return Mark(text="not tested", tone="mind")
        if not weights.unexplained(found):
            return "nothing to explain"
        read = found.weights is not None and found.weights.basis == "weights"
        return "nothing known" if read else Mark(text="not tested", tone="mind")
    return tuple(Mark(text=f"{item.id} ({item.outcome})", tone=weights.tone(item)) for item in held[:3])


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
        rows, more = shortened([_restriction(change) for change in held], ROWS)
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


def _restriction(change: FieldChange) -> tuple[Cell, ...]:
    if change.old is None:
        happened = Mark(text="new", tone="bad")
    elif change.new is None:
        happened = Mark(text="gone", tone="good")
    else:
        happened = Mark(text="changed", tone="mind")
    sentence = RESTRICTIONS.get(change.name, "A restriction in words that mbom does not know; read the text.")
    return change.name, happened, (sentence, *_values(change))


def _values(change: FieldChange) -> Iterator[str]:
    old, new = figures.stated(change.old), figures.stated(change.new)
    if change.old is not None and change.new is not None:
        yield f"It said: {old}. It says: {new}."
    else:
        told = new if change.old is None else old
        if told != "applies":
            yield f"It says: {told}."


def _facts(found: Changes, names: Iterable[str]) -> tuple[Block, ...]:
    tables = []
    for name in names:
        held = [change for change in found.fields if change.section == name]
        if held:
            tables.append(_table(held, TITLES[name]))
    return tuple(tables) or (Prose(text="Nothing differs."),)


def _table(held: list[FieldChange], caption: str) -> Table:
    listed: list[tuple[Cell, ...]] = [
        (Code(text=change.name), figures.stated(change.old), figures.stated(change.new)) for change in held
    ]
    rows, more = shortened(listed, ROWS)
    where = "`mbom diff --json` has them all"
    return Table(caption=caption, columns=("Fact", "Old", "New"), rows=rows, more=more, where=where)


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
        told = (
            f"{counted(change.added, 'token')} added, {change.moved:,} moved to another id, {change.removed:,} removed."
        )
        same = not (change.added or change.moved or change.removed)
        yield Prose(text="The vocabularies are the same." if same else told)
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
            yield Lines(caption=what, lines=template.lines[:ROWS], more=max(0, len(template.lines) - ROWS))
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
            "–" if item.old_size is None else size(item.old_size),
            "–" if item.new_size is None else size(item.new_size),
        )
        for item in files.changes
    ]
    rows, more = shortened(listed, ROWS)
    told = counted(files.identical, "file")
    if rows:
        yield Table(
            caption=f"Files that changed, came or went; {told} stayed the same",
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
