"""The comparison of weights as it runs in the child process: from a request in JSON to what became of the weights."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from mbom.diff.changes import plain
from mbom.diff.explanations.explain import explain
from mbom.diff.values.weights import compare
from mbom.engine.values import CheckpointValues, open_values
from mbom.inventory.record import Inventory
from mbom.strictjson import Fields, Json


def in_child(request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
    """Compare the checkpoints of ``request``.

    Args:
        request: ``old``, ``new`` and the list ``others``, each with ``files`` (name to path) and ``inventory`` (path).
        emit: takes a report before each weight: what is done with it, and its name.

    Raises:
        EngineError: when a checkpoint cannot be read here.
        RefusedError: when a file is not what the inventory says.
    """
    fields = Fields(request, "request")
    with ExitStack() as stack:
        sides = [fields.object("old"), fields.object("new"), *fields.objects("others")]
        old, new, *others = (stack.enter_context(_opened(side)) for side in sides)
        weights = compare(old, new, progress=lambda name: emit({"stage": "compare", "weight": name}))
        found = explain(
            old, new, weights, others=others, progress=lambda name: emit({"stage": "explain", "weight": name})
        )
    # What was read holds when the files have been left without an error.
    return {"weights": plain(weights), "explanations": [plain(each) for each in found]}


def _opened(side: Fields) -> CheckpointValues:
    listed = side.object("files")
    inventory = Inventory.from_bytes(Path(side.text("inventory")).read_bytes())
    files = {file.name: Path(listed.text(file.name)) for file in inventory.files if listed.has(file.name)}
    return open_values(files, inventory)
