"""The sections on one model: what it is, what may be done with it, where it comes from, and how it is made."""

from collections.abc import Iterable, Iterator
from pathlib import PurePath

from mbom.attestation import format_time
from mbom.bom.description import UNKNOWN, DescribedRestriction, Description
from mbom.bom.properties import decimal
from mbom.dossier import Dossier
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.inventory import Finding
from mbom.inventory.findings import KINDS
from mbom.quantities import counted, size
from mbom.report import drawings, figures
from mbom.report.blocks import (
    Block,
    Bullets,
    Cell,
    Code,
    Fact,
    Facts,
    Fold,
    Inline,
    Link,
    Mark,
    Picture,
    Prose,
    Section,
    Swatch,
    Table,
    Tone,
    shortened,
)

ROWS = 200  # of a table that a checkpoint can make long; the documents of the bundle have them all
NOT_STATED = Mark(text="not stated", tone="mind")
SEVERITIES: dict[str, Tone] = {"error": "bad", "warning": "mind", "note": "plain"}
MATCHES = {
    "exact": "word for word",
    "added": "word for word, with other text around it",
    "altered": "with other words than the known text",
}
# The parts of a model, the order in which the bar has them, and what people call them.
BLOCKS = {
    "experts": "Routed experts",
    "shared-experts": "Shared experts",
    "feed-forward": "Feed-forward layers",
    "attention": "Attention",
    "state-space": "State-space layers",
    "embedding": "Input embedding",
    "head": "Output head",
    "router": "Routers",
    "norms": "Norms",
    "other-modalities": "Other modalities",
    "other": "Other",
}
ARCHITECTURE = {
    "layers": "Layers",
    "hidden-size": "Width",
    "attention-heads": "Attention heads",
    "key-value-heads": "Heads of keys and values",
    "experts": "Routed experts in a layer",
    "experts-per-token": "of which a token takes",
    "shared-experts": "Shared experts in a layer",
    "context-length": "Context, in tokens",
    "vocabulary": "Vocabulary",
    "sliding-window": "Sliding window, in tokens",
    "modality": "Takes in",
}
COMPARED: dict[str, Tone] = {"identical": "good", "derived": "good", "not shown": "mind", "not compared": "plain"}
RELATIONS = {
    "adapter": "an adapter of it",
    "finetune": "trained further from it",
    "merge": "merged from it and others",
    "quantized": "quantised from it",
}


def file_name(dossier: Dossier) -> str:
    """Return the name of what the user gave, without the folders that it lies in."""
    return PurePath(dossier.label).name or dossier.name


def restriction(found: DescribedRestriction) -> tuple[Cell, str]:
    """Return what a restriction is in a word or two, and in a sentence."""
    plain = found.value is None or found.kind == UNKNOWN
    name: Cell = found.kind if plain else (found.kind, _grouped(found.value or ""))
    sentence = RESTRICTIONS.get(found.kind, "A restriction in words that mbom does not know; read the text.")
    if found.kind == UNKNOWN and found.value is not None:
        sentence = f"{sentence} {found.value}"
    return name, sentence


def at_a_glance(dossier: Dossier) -> Section:
    """Return the few facts that most readers come for."""
    described = dossier.described
    record = dossier.record
    items = [
        Fact(label="Licence", value=_licences(described), note=_bound(described)),
        Fact(label="Parameters", value=_or_unknown(described.parameters), note=_active(described)),
        Fact(label="Published by", value=described.entity or described.account or NOT_STATED, note=_country(described)),
        Fact(label="Openness", value=_openness(described), note="by the Model Openness Framework"),
        Fact(label="Findings", value=_counted(dossier.inventory.findings)),
    ]
    if record is not None and record.coverage.experts:
        reached = figures.share(record.coverage.experts_reached, record.coverage.experts)
        items.append(Fact(label="Experts reached", value=reached, note="by the prompts of the behaviour record"))
    elif record is None:
        items.append(Fact(label="Behaviour", value="not recorded", note="nothing is known of what the model computes"))
    return Section(id="glance", title="At a glance", blocks=(Facts(items=tuple(items), large=True),))


def identity(dossier: Dossier) -> Section:
    """Return which model this is, bit for bit."""
    inventory, described, attestation = dossier.inventory, dossier.described, dossier.attestation
    origin = inventory.origin
    facts = [Fact(label="Name", value=dossier.name)]
    if origin.repo and origin.revision:
        facts += [
            Fact(
                label="Repository",
                value=Link(text=origin.repo, url=figures.hub_address(origin.repo, origin.revision)),
                note="on the Hugging Face Hub",
            ),
            Fact(label="Commit", value=Code(text=origin.revision)),
        ]
    else:
        note = "nothing in a copy shows which repository it is of"
        facts.append(Fact(label="Source", value="a folder", note=note))
    facts += [
        Fact(
            label="Model digest",
            value=Code(text=inventory.digest),
            note="over the names, sizes and SHA-256 digests of all files: equal digests are equal files",
        ),
        Fact(
            label="Files",
            value=f"{counted(len(inventory.files), 'file')}, {size(sum(file.size for file in inventory.files))}",
            note=f"{counted(len(inventory.tensors), 'tensor')}; each file and each tensor has a digest",
        ),
    ]
    if dossier.bundle_digest is not None:
        facts.append(Fact(label="Bundle digest", value=Code(text=dossier.bundle_digest)))
    if attestation is not None:
        note = f"by the signer's own clock, with mbom {attestation.tool_version}"
        facts.append(Fact(label="Attested", value=format_time(attestation.time), note=note))
    elif dossier.kind == "bundle":
        facts.append(Fact(label="Attested", value=Mark(text="not signed", tone="mind")))
    if described.gated not in (None, "false"):
        facts.append(
            Fact(label="Access", value=f"gated: {described.gated}", note="as the hub said when it was attested")
        )
    listed = [(Code(text=file.name), file.role, size(file.size), Code(text=file.sha256))
              for file in inventory.files]  # fmt: skip
    rows, more = shortened(listed, ROWS)
    table = Table(
        caption="Files with their SHA-256 digests",
        columns=("File", "Role", "Size", "SHA-256"),
        rows=rows,
        numeric=(2,),
        more=more,
        where="inventory.json has them all",
    )
    blocks = (Facts(items=tuple(facts)), Fold(title=f"All {len(inventory.files):,} files", blocks=(table,)))
    return Section(id="identity", title="Identity", blocks=blocks)


def licence(dossier: Dossier) -> Section:
    """Return the licences, and what they ask for and forbid in plain words."""
    described = dossier.described
    declared = tuple(described.licences_declared) or (Mark(text="none declared", tone="mind"),)
    texts: list[Cell] = [
        (Code(text=found.id), f"in {found.file}, {MATCHES.get(found.match, found.match)}")
        for found in described.licences_detected
    ]
    texts += [
        (Mark(text="not recognised", tone="mind"), f"{name}: somebody must read this text")
        for name in described.licence_texts_unknown
    ]
    facts = [Fact(label="As the publisher declares", value=declared)]
    facts += [Fact(label="As the texts say", value=text) for text in texts[:ROWS]]
    if not texts:
        facts.append(Fact(label="As the texts say", value="no licence text among the files"))
    for name, label in (("licence:disagreement", "They disagree"), ("licence:wider-than-base", "Wider than its base")):
        told = described.properties.get(name, ())
        facts += [Fact(label=label, value=(Mark(text="read this", tone="bad"), text)) for text in told[:ROWS]]
    blocks: list[Block] = [Facts(items=tuple(facts)), *_restrictions(described)]
    blocks.append(
        Prose(
            text="Licences are recognised by their words. This is a reading aid and no legal advice; the texts "
            "themselves decide."
        )
    )
    return Section(id="licence", title="Licence and restrictions", blocks=tuple(blocks))


def lineage(dossier: Dossier) -> Section:
    """Return what the model was made from, and by whom."""
    described = dossier.described
    shown = [_step(ancestor.relations, ancestor.verified) for ancestor in described.ancestors]
    blocks: list[Block] = []
    if described.ancestors:
        names = [ancestor.name for ancestor in described.ancestors]
        blocks.append(
            Picture(drawing=drawings.lineage("lineage", dossier.name, list(zip(names, _short(shown), strict=True))))
        )
        rows, more = shortened([(Code(text=name), *step) for name, step in zip(names, shown, strict=True)], ROWS)
        blocks.append(
            Table(
                caption="Models that this one is made from, or was compared with",
                columns=("Model", "This one is, as declared", "As a comparison showed"),
                rows=rows,
                more=more,
                where="bom.cdx.json has them all",
            )
        )
    else:
        blocks.append(
            Prose(text="No base model is named. That does not show that there is none: nobody is made to name one.")
        )
    facts = [
        Fact(label="Account", value=described.account or NOT_STATED, note=_reviewed(described)),
        Fact(label="Legal entity", value=described.entity or NOT_STATED),
        Fact(label="Country of its head office", value=described.country or NOT_STATED),
    ]
    sets = described.datasets
    facts.append(Fact(label="Data sets that the card names", value=tuple(sets[:ROWS]) if sets else "none"))
    return Section(id="lineage", title="Lineage and origin", blocks=(*blocks, Facts(items=tuple(facts))))


def parameters(dossier: Dossier) -> Section:
    """Return how the model is built, and what it consists of."""
    described = dossier.described
    facts = [Fact(label="Architecture", value=described.classes or NOT_STATED)]
    for name, label in ARCHITECTURE.items():
        told = described.architecture.get(name, ())
        if told and told != ("0",):
            facts.append(Fact(label=label, value=", ".join(_grouped(text) for text in told)))
    weights = described.number("footprint:weights")
    if weights is not None:
        facts.append(Fact(label="Memory for the weights", value=size(weights), note=_smallest(described)))
    blocks: list[Block] = [Facts(items=tuple(facts)), *_parts(described)]
    types = [
        *_typed(described, "parameters:logical:", "as meant"),
        *_typed(described, "parameters:stored:", "as stored"),
    ]
    if types:
        table = Table(
            caption="Parameters by type of number",
            columns=("Type", "Counted", "Parameters"),
            rows=tuple(types[:ROWS]),
            numeric=(2,),
        )
        blocks.append(table)
    return Section(id="parameters", title="Architecture and parameters", blocks=tuple(blocks))


def findings(found: Iterable[Finding], *, title: str = "Findings", anchor: str = "findings", none: str) -> Section:
    """Return findings as a table with what each kind means, ``none`` where there is none."""
    order = list(SEVERITIES)
    listed = [
        (Code(text=item.path), Mark(text=item.severity, tone=SEVERITIES[item.severity]), (*_meaning(item), item.detail))
        for item in sorted(found, key=lambda item: (order.index(item.severity), item.path, item.id))
    ]
    if not listed:
        return Section(id=anchor, title=title, blocks=(Prose(text=none),))
    rows, more = shortened(listed, ROWS)
    table = Table(
        caption="What was seen in the files, the gravest first",
        columns=("File", "Severity", "What it is"),
        rows=rows,
        more=more,
        where="inventory.json has them all",
    )
    return Section(id=anchor, title=title, blocks=(table,))


def _meaning(item: Finding) -> Iterator[Inline]:
    known = KINDS.get(item.id)
    if known is not None:
        yield known.meaning
    yield Code(text=item.id)


def _licences(described: Description) -> Cell:
    told = described.licences_declared or tuple(found.id for found in described.licences_detected)
    return tuple(dict.fromkeys(told[:4])) if told else NOT_STATED


def _bound(described: Description) -> str:
    kinds = {found.kind for found in described.restrictions}
    return f"{counted(len(kinds), 'kind')} of restriction" if kinds else "no restriction known"


def _or_unknown(number: int | None) -> Cell:
    return figures.count(number) if number is not None else NOT_STATED


def _active(described: Description) -> str:
    if described.active in (None, described.parameters):
        return ""
    return f"{figures.count(described.active or 0)} of them used for a token"


def _country(described: Description) -> str:
    if described.entity is None:
        return "who stands behind the account is not known" if described.account else ""
    return f"head office in {described.country}" if described.country else ""


def _openness(described: Description) -> Cell:
    if described.openness is None:
        return NOT_STATED
    return "no class reached" if described.openness == "none" else described.openness


def _counted(found: Iterable[Finding]) -> Cell:
    severities = [item.severity for item in found]
    told = tuple(
        Mark(text=counted(severities.count(name), name), tone=tone)
        for name, tone in SEVERITIES.items()
        if name in severities
    )
    return told or "none"


def _restrictions(described: Description) -> Iterator[Block]:
    if not described.restrictions:
        yield Prose(text="No restriction was read in what is declared, nor in the texts that were recognised.")
        return
    listed = []
    for found in described.restrictions:
        name, sentence = restriction(found)
        also = (f"It says: {found.scope}",) if found.scope else ()
        listed.append((name, (sentence, *also), found.source))
    rows, more = shortened(listed, ROWS)
    yield Table(
        caption="What the licences ask for and forbid, in plain words",
        columns=("Restriction", "In plain words", "Where it was read"),
        rows=rows,
        more=more,
    )


def _step(relations: tuple[str, ...], verified: str | None) -> tuple[str, Inline]:
    declared = ", ".join(RELATIONS.get(name, name) for name in relations) or "not declared how"
    shown = verified or "not compared"
    return declared, Mark(text=shown, tone=COMPARED[shown]) if shown in COMPARED else shown


def _short(steps: Iterable[tuple[str, Inline]]) -> Iterator[str]:
    for declared, verified in steps:
        yield f"{declared} ({verified if isinstance(verified, str) else verified.text})"


def _reviewed(described: Description) -> str:
    source, reviewed = described.first("producer:source"), described.first("producer:reviewed")
    return f"looked up on {reviewed}: {source}" if source and reviewed else ""


def _grouped(text: str) -> str:
    number = decimal(text)
    return text if number is None else f"{number:,}"


def _smallest(described: Description) -> str:
    told = described.properties.get("footprint:smallest-accelerators", ())
    known = [text for text in told if text != UNKNOWN]
    return f"with one sequence at full context it fits on {' or '.join(known[:3])}" if known else ""


def _parts(described: Description) -> Iterator[Block]:
    amounts = {name: described.number(f"parameters:block:{name}") or 0 for name in BLOCKS}
    total = sum(amounts.values())
    if not total:
        yield Prose(text="The BOM does not say what the parameters are spent on.")
        return
    bar = drawings.bar(
        "blocks", "Parameters by part of the model", [(BLOCKS[name], name, amounts[name]) for name in BLOCKS]
    )
    yield Picture(drawing=bar)
    yield Table(
        caption="Parameters by part of the model",
        columns=("Part", "Parameters", "Share"),
        rows=tuple(
            (Swatch(text=BLOCKS[name], slot=name), f"{number:,}", figures.share(number, total))
            for name, number in amounts.items()
            if number
        ),
        numeric=(1, 2),
    )


def _typed(described: Description, prefix: str, how: str) -> Iterator[tuple[Cell, ...]]:
    for name in described.properties:
        number = described.number(name) if name.startswith(prefix) else None
        if number is not None:
            yield Code(text=name.removeprefix(prefix)), how, f"{number:,}"


def bullets(items: Iterable[Cell], limit: int = ROWS) -> Bullets:
    """Return a list of what there is room for."""
    held = tuple(items)
    return Bullets(items=held[:limit], more=max(0, len(held) - limit))
