"""What `mbom` notices and what it names: tampering, single numbers moved by one ulp, and no false alarms.

    PYTHONPATH=. python bench/detection.py                          # all of it, about ten minutes on one core
    PYTHONPATH=. python bench/detection.py --family llama --edits 30
    PYTHONPATH=. python bench/detection.py --models /big/disk       # keep the trained models for the next run

Three small trained models (gpt_oss with MXFP4 experts, qwen3_moe, llama) are bent by an attacker who hashes every file
anew, so that no digest tells: only the behaviour record of the bent checkpoint can differ from the publisher's. An edit
counts as caught when the comparison is a mismatch, and as named when it names the layer (or the embedding, the output,
the prompts) that was edited. Edits of template or tokenizer that no fixed prompt runs into are for the file digests.
"""

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from honest import configurations
from inprocess import Measuring
from nudges import Nudge, Place, draw
from storedweights import Weights
from tampering import TAMPERS, Tamper, Target
from tinytraining import FAMILIES, checkpoint

from mbom.behaviour.compare import Comparison, compare
from mbom.behaviour.record import Record

EDITS = 300
SEED = 20261122
NAMED_SHARE = 0.99


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the comparison said of one edit. ``expected`` is where it was made, ``found`` what was named."""

    family: str
    name: str
    expected: Place
    found: Place
    comparison: Comparison

    @property
    def caught(self) -> bool:
        """Whether the checkpoint was refused for being another."""
        return self.comparison.verdict == "mismatch"

    @property
    def named(self) -> bool:
        """Whether the right layer was named."""
        return self.found.where == self.expected.where

    @property
    def part_named(self) -> bool | None:
        """Whether the right expert or row was named; None where no single one differs."""
        if self.expected.expert is None and self.expected.row is None:
            return None
        return self.found == self.expected


def place(comparison: Comparison) -> Place:
    """Return the place that a comparison names first."""
    text = comparison.first_difference or ""
    weight = comparison.weights[0] if comparison.weights else None
    if weight is not None and text == str(weight):
        first = weight.indices[0] if weight.indices else None
        expert, row = (first, None) if weight.part == "expert" else (None, first)
        if weight.weight.layer is not None:
            return Place(where=f"layer {weight.weight.layer}", expert=expert)
        return Place(where="embedding" if "embed" in weight.weight.name else "output", row=row)
    if comparison.first_layer is not None:
        return Place(where=f"layer {comparison.first_layer}")
    named = {
        "prompts": ("prompt", "token ids"),
        "routers": ("routers",),
        "output": ("logits", "log-sum-exp", "top "),
    }
    return Place(where=next((where for where, starts in named.items() if text.startswith(starts)), "nowhere"))


class Family:
    """A trained checkpoint, its record, and copies of it that are bent one at a time."""

    def __init__(self, name: str, folder: Path, scratch: Path, measuring: Measuring) -> None:
        self.name = name
        self.folder = folder
        self._copy = scratch / f"{name}-copy"
        self._measuring = measuring
        self.reference = measuring(folder)

    def copy(self) -> Path:
        """Return a fresh copy of the checkpoint, in the place of the last one."""
        shutil.rmtree(self._copy, ignore_errors=True)
        return shutil.copytree(self.folder, self._copy)

    def tampered(self, name: str, tamper: Tamper) -> Outcome | None:
        """Bend a copy and compare it; None where the family has no part that could be bent so."""
        target = Target(weights=Weights(self.copy()), reference=self.reference)
        expected = tamper(target)
        return None if expected is None else self._outcome(name, expected)

    def nudged(self, nudge: Nudge) -> Outcome:
        """Move one stored number of a copy by one ulp and compare it."""
        nudge.apply(Weights(self.copy()))
        return self._outcome(nudge.kind, nudge.place)

    def nudges(self, count: int) -> Iterator[Nudge]:
        """Yield random edits, the same in every run."""
        return draw(Weights(self.folder), self.reference, count, seed=SEED)

    def honest(self, run: Callable[[Path, Measuring], Record]) -> Comparison:
        """Compare with what an honest configuration measures."""
        return compare(self.reference, run(self.copy(), self._measuring))

    def _outcome(self, name: str, expected: Place) -> Outcome:
        record = self._measuring(self._copy)
        if record.model_digest == self.reference.model_digest:
            raise ValueError(f"{self.name}: {name}: not a byte was changed")
        comparison = compare(self.reference, record)
        return Outcome(family=self.name, name=name, expected=expected, found=place(comparison), comparison=comparison)


def families(names: Iterable[str], models: Path, scratch: Path) -> list[Family]:
    """Train what has not been trained yet, and measure the references on one thread."""
    torch.set_num_threads(1)
    measuring = Measuring()
    return [Family(name, checkpoint(name, models / name), scratch, measuring) for name in names]


def tamper_table(found: list[Family]) -> bool:
    """Print what came of every tampering; True when all were caught and named."""
    print("\nTampering: the place named (largest relative error of activations; of sketches)")
    outcomes = []
    for name, tamper in TAMPERS.items():
        for family in found:
            outcome = family.tampered(name, tamper)
            if outcome is None:
                print(f"  {name:35} {family.name:10} no such part")
            else:
                outcomes.append(outcome)
                print(f"  {name:35} {family.name:10} {_told(outcome)}")
    return _summary("tamperings", outcomes)


def _told(outcome: Outcome) -> str:
    comparison, found = outcome.comparison, outcome.found
    part = "".join(
        f", {kind} {number}" for kind, number in (("expert", found.expert), ("row", found.row)) if number is not None
    )
    errors = ""
    if comparison.worst is not None and comparison.worst_sketch is not None:
        errors = f" ({comparison.worst:.1e}; {comparison.worst_sketch:.1e})"
    wrong = "" if outcome.named and outcome.part_named is not False else f"   WRONG: {outcome.expected}"
    return f"{'caught' if outcome.caught else 'MISSED'}: {found.where}{part}{errors}{wrong}"


def nudge_table(found: list[Family], edits: int) -> bool:
    """Print, for every kind of tensor, how many edits by one ulp were caught and named; True when enough were."""
    share, rest = divmod(edits, len(found))
    outcomes = [
        family.nudged(nudge) for number, family in enumerate(found) for nudge in family.nudges(share + (number < rest))
    ]
    kinds: defaultdict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        kinds[outcome.name].append(outcome)
    print(
        "\nOne stored number moved by one ulp        edits caught named  expert or row"
        "   least sketch error; hidden from prompts"
    )
    for kind, of in sorted(kinds.items()):
        parts = [outcome.part_named for outcome in of if outcome.part_named is not None]
        rows = f"{sum(parts)} of {len(parts)}" if parts else "-"
        least = min(outcome.comparison.worst_sketch or 0.0 for outcome in of)
        hidden = sum((outcome.comparison.worst or 0.0) <= 1e-9 for outcome in of)
        print(
            f"  {kind:38} {len(of):6} {sum(o.caught for o in of):6} {sum(o.named for o in of):5}  {rows:>13}"
            f"   {least:18.1e}; {hidden}"
        )
    for outcome in outcomes:
        if not (outcome.caught and outcome.named):
            print(f"  {outcome.family} {outcome.expected}: {outcome.comparison.detail}")
    return _summary("edits by one ulp", outcomes)


def _summary(what: str, outcomes: list[Outcome]) -> bool:
    total = len(outcomes)
    caught, named = sum(outcome.caught for outcome in outcomes), sum(outcome.named for outcome in outcomes)
    parts = [outcome.part_named for outcome in outcomes if outcome.part_named is not None]
    print(
        f"{what}: {caught} of {total} caught (target all), {named} of {total} with the right layer "
        f"(target {NAMED_SHARE:.0%}), {sum(parts)} of {len(parts)} with the right expert or row"
    )
    return caught == total and named >= NAMED_SHARE * total


def honest_table(found: list[Family]) -> bool:
    """Print what came of every honest configuration; True when none raised an alarm."""
    print("\nHonest configurations: largest relative error of activations; of sketches")
    alarms = total = 0
    for family in found:
        for name, run in configurations(family.name):
            comparison = family.honest(run)
            alarms, total = alarms + (not comparison.passed), total + 1
            errors = f"{comparison.worst or 0.0:.1e}; {comparison.worst_sketch or 0.0:.1e}"
            told = errors if comparison.passed else f"ALARM: {comparison.verdict}: {comparison.detail}"
            print(f"  {name:35} {family.name:10} {told}")
    print(f"honest configurations: {alarms} alarms in {total} (target 0, of at least 24)")
    return alarms == 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the options, run the three tables; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="this family alone; may be repeated")
    parser.add_argument("--edits", type=int, default=EDITS, help=f"edits by one ulp (default {EDITS})")
    parser.add_argument("--models", type=Path, help="where trained models are kept (default a temporary folder)")
    options = parser.parse_args(arguments)
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"torch {version('torch')}, transformers {version('transformers')}, numpy {version('numpy')}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mbom-bench-") as name:
        scratch = Path(name)
        models = options.models or scratch
        models.mkdir(parents=True, exist_ok=True)
        found = families(options.family or FAMILIES, models, scratch)
        good = [tamper_table(found), nudge_table(found, options.edits), honest_table(found)]
    print(f"{time.monotonic() - start:.0f} s")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
