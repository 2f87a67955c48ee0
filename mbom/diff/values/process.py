"""Comparing the weights of checkpoints in a child process, as the behaviour pass runs: no network, and limits.

Reading weights runs no code of a repository, but the stock class whose names they get is built from a configuration
that anybody may have written (see ``mbom.engine.values``), and torch has no place in this process.
"""

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mbom import engine
from mbom.diff.changes import Explanation, Weights
from mbom.diff.values.reply import explanation, weights
from mbom.engine import process
from mbom.errors import EngineError
from mbom.inventory.record import Inventory
from mbom.strictjson import Fields, Json

Checkpoint = tuple[Mapping[str, Path], Inventory]  # where each file lies, by name, and the digests of the bytes
Progress = Callable[[str, str], None]  # "compare" or "explain", and the weight

RESULT_LIMIT = 256 << 20  # bytes; a checkpoint of 100,000 tensors that all changed takes 40 MB
# Address space beyond imports: fixed buffers and libraries that load late, and copies of the largest slice in float64:
# both sides, their difference, what a decoder needs, what an explanation keeps of a matrix, each with room to spare.
FIXED_BYTES = 6 << 30
COPIES = 24
# Processor time: a slow start, and values at a hundredth of the rate of one fast core.
START_SECONDS = 3600
VALUE_RATE = 2e5
STACKED = 3  # dimensions of a tensor that holds a matrix for each expert


def compare(
    old: Checkpoint, new: Checkpoint, *, others: Sequence[Checkpoint] = (), progress: Progress | None = None
) -> tuple[Weights, tuple[Explanation, ...]]:
    """Compare and explain the weights of two checkpoints.

    Args:
        old: what was.
        new: what is.
        others: models that may have been merged in.
        progress: called before each weight.

    Raises:
        EngineError: when the ``engine`` extra is missing, or the process cannot do it, or breaks.
        RefusedError: when a file is not what its inventory says.
    """
    lack = engine.available()
    if lack is not None:
        raise EngineError(lack)
    sides = [old, new, *others]
    with tempfile.TemporaryDirectory(prefix="mbom-") as folder:
        listed = [_request(side, Path(folder) / f"{number}.json") for number, side in enumerate(sides)]
        result = process.run_module(
            "mbom.diff.values.child",
            {"old": listed[0], "new": listed[1], "others": [*listed[2:]]},
            name="diff",
            limits=_limits([inventory for _, inventory in sides]),
            progress=None if progress is None else _told(progress),
        )
    fields = Fields(result, "the diff process")
    found = (
        weights(fields.object("weights")),
        tuple(explanation(each) for each in fields.objects("explanations")),
    )
    fields.end()
    return found


def _request(side: Checkpoint, path: Path) -> dict[str, Json]:
    files, inventory = side
    path.write_bytes(inventory.to_bytes())
    return {"files": {name: str(file.absolute()) for name, file in files.items()}, "inventory": str(path)}


def _limits(inventories: Sequence[Inventory]) -> process.Limits:
    values = largest = 0
    for inventory in inventories:
        for tensor in inventory.tensors:
            count = 2 * math.prod(tensor.shape)  # a byte may hold two
            values += count
            stacked = len(tensor.shape) >= STACKED and tensor.shape[0] > 0
            largest = max(largest, count // tensor.shape[0] if stacked else count)
    return process.Limits(
        cpu_seconds=START_SECONDS + int(values / VALUE_RATE),
        address_space_bytes=FIXED_BYTES + COPIES * 8 * largest,
        result_bytes=RESULT_LIMIT,
    )


def _told(progress: Progress) -> Callable[[Json], None]:
    def hear(report: Json) -> None:
        fields = Fields(report, "the diff process")
        progress(fields.text("stage"), fields.text("weight"))
        fields.end()

    return hear
