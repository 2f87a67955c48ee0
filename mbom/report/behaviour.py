"""The section on what the model computed: what the prompts reached, and what it answered."""

from collections.abc import Iterator

import numpy as np

from mbom.behaviour import prompts
from mbom.behaviour.record import SKETCH_LIMIT, Record, TopToken
from mbom.quantities import counted
from mbom.report import drawings, figures
from mbom.report.blocks import Block, Cell, Code, Fact, Facts, Fold, Picture, Prose, Section, Table

EXCERPT = 140  # characters of a prompt
ANSWERS = 3  # likeliest tokens of a prompt
CELLS = 60_000  # of a heat map; the largest models have 61 layers of 384 experts, and a record may claim billions


def section(record: Record | None) -> Section:
    """Return what was measured; that nothing was, where there is no record."""
    title = "Behaviour"
    if record is None:
        told = Prose(text="No behaviour was recorded: nothing is known of what this model computes.")
        return Section(id="behaviour", title=title, blocks=(told,))
    return Section(id="behaviour", title=title, blocks=(_measured(record), *_experts(record), *_answers(record)))


def prompt_text(name: str) -> str:
    """Return how a prompt of the fixed set begins; nothing for a prompt of drawn tokens."""
    source = next((source for source in prompts.fixed() if source.id == name), None)
    if source is None:
        return ""
    text = " ".join(source.text.split())
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT - 1]}…"


def answer(text: str | None, token: int, probability: float) -> Cell:
    """Return a likely token: its text with blanks that can be seen, and how likely it is."""
    told = f"token {token}" if text is None else text.replace(" ", "␣") or "(nothing)"
    return (Code(text=told), f"{probability:.1%}")


def _measured(record: Record) -> Facts:
    coverage, runtime = record.coverage, record.runtime
    positions, asked = counted(record.positions, "position"), counted(len(record.prompts), "prompt")
    idle = len(coverage.tensors_not_executed)
    facts = [
        Fact(
            label="Measured",
            value=f"{positions} of {asked}",
            note=f"in {runtime.precision} on {runtime.device}, with torch {runtime.torch} and transformers "
            f"{runtime.transformers}",
        ),
        Fact(
            label="Vocabulary reached",
            value=f"{coverage.vocabulary_reached:,} of {coverage.vocabulary:,} "
            f"({figures.share(coverage.vocabulary_reached, coverage.vocabulary)})",
            note="different tokens in the prompts",
        ),
        Fact(
            label="Tensors read",
            value=f"{coverage.tensors_read:,}",
            note=f"{counted(idle, 'tensor')} of them read and not executed" if idle else "all of them executed",
        ),
    ]
    if coverage.experts:
        facts.append(
            Fact(
                label="Experts reached",
                value=f"{coverage.experts_reached:,} of {coverage.experts:,} "
                f"({figures.share(coverage.experts_reached, coverage.experts)})",
                note=""
                if coverage.experts_reached == coverage.experts
                else "the record says nothing of what the others would answer; their weights are sketched all the same",
            )
        )
    if record.sensitivity:
        seen = sum(flip.error > SKETCH_LIMIT for flip in record.sensitivity)
        facts.append(
            Fact(
                label="Sharpness",
                value=f"{seen:,} of {len(record.sensitivity):,} trials show",
                note="single weights moved by the smallest step there is, on trial",
            )
        )
    if record.challenge is not None:
        facts.append(Fact(label="Challenge", value=Code(text=record.challenge)))
    return Facts(items=tuple(facts))


def _experts(record: Record) -> Iterator[Block]:
    routers, positions, chosen = record.numbers.router_ids.shape
    if not routers:
        yield Prose(text="The model has no routers: every token uses every layer whole.")
        return
    each = record.coverage.experts // routers
    if routers * each > CELLS:
        yield Prose(text=f"{each:,} experts in each of {routers:,} layers are more than can be drawn here.")
        return
    counts = np.stack([np.bincount(ids.ravel(), minlength=each) for ids in record.numbers.router_ids])
    layers = [int(layer) for layer in record.numbers.router_layers]
    even = positions * chosen / each
    yield Picture(drawing=drawings.heatmap("experts", counts, layers=layers, even=even))
    rows: list[tuple[Cell, ...]] = []
    for layer, line in zip(layers, counts, strict=True):
        never = np.flatnonzero(line == 0).tolist()
        busiest = int(line.argmax())
        rows.append(
            (
                str(layer),
                f"{each - len(never):,} of {each:,}",
                figures.ranges(never) or "none",
                f"{busiest} ({figures.share(int(line[busiest]), positions)} of positions)",
            )
        )
    table = Table(
        caption="Experts that the prompts reached, by layer",
        columns=("Layer", "Reached", "Never reached", "Chosen most often"),
        rows=tuple(rows),
    )
    yield Fold(title="The same as a table", blocks=(table,))


def _answers(record: Record) -> Iterator[Block]:
    rows: list[tuple[Cell, ...]] = []
    for prompt, summary in zip(record.prompts, record.summaries, strict=True):
        begins = prompt_text(prompt.id) if prompt.kind != "seeded" else "tokens drawn at random"
        rows.append(((prompt.id, begins), *_likeliest(summary.tokens)))
    yield Table(
        caption="The likeliest next tokens after the last measured position of each prompt",
        columns=("Prompt, and how it begins", "First", "Second", "Third"),
        rows=tuple(rows),
    )


def _likeliest(tokens: tuple[TopToken, ...]) -> Iterator[Cell]:
    for place in range(ANSWERS):
        if place < len(tokens):
            token = tokens[place]
            yield answer(token.text, token.id, token.probability)
        else:
            yield "–"
