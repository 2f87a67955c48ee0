"""What a comparison with a base shows of trained models: how far apart they are, and what that is called.

    PYTHONPATH=.:tests python bench/descent.py [--steps N]

Two small llamas learn the same dialogues from different random beginnings. From the first come copies that were trained
on, averaged and rounded; each is measured in float64 and held against it. Takes about two minutes of one core.
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import quantisers
import tinymodels
import torch
import transformers
from safetensors.torch import load_file, save_file
from tinytraining import CONFIGURATIONS

from fixtures import dialogues, make, training
from mbom.ancestry import Base, Compared, compare
from mbom.behaviour.record import Record
from mbom.engine import measure
from mbom.inventory import Inventory

FAMILY = "llama"
STEPS = 150
MORE = 60  # steps of whoever trains on
ROUNDED = ("llama in int4", "qwen2 in AWQ")  # encodings of tests/quantisers.py that a llama can be stored in
Measured = tuple[Inventory, Record]


def fresh(seed: int) -> Any:  # noqa: ANN401 - classes of transformers, untyped
    """Return a model with random weights."""
    torch.manual_seed(seed)
    configuration = transformers.CONFIG_MAPPING[FAMILY](**CONFIGURATIONS[FAMILY])
    auto: Any = transformers.AutoModelForCausalLM
    return auto.from_config(configuration, attn_implementation="eager", dtype=torch.float32)


def trained(model: Any, *, steps: int, rate: float = 1.0) -> Any:  # noqa: ANN401
    """Train a model in place, at a share of the fixture's learning rate, and return it."""
    render = dialogues.renderer(dialogues.TEMPLATE.read_text(encoding="utf-8"))
    source = training.conversations(dialogues.corpus(), render, make.tokenizer())
    usual, training.PEAK_RATE = training.PEAK_RATE, training.PEAK_RATE * rate
    try:
        training.fit(model, source, steps=steps, rounded=lambda _name, weight: weight.to(torch.bfloat16).float())
    finally:
        training.PEAK_RATE = usual
    return model


def saved(model: Any, folder: Path) -> Path:  # noqa: ANN401
    """Write a model in bfloat16, with the fixture's tokenizer."""
    model.to(torch.bfloat16).save_pretrained(folder)
    for name, content in make.documents().items():
        if name.startswith(("chat_template", "tokenizer", "special_tokens")):
            (folder / name).write_bytes(content)
    return folder


def loaded(folder: Path) -> Any:  # noqa: ANN401
    """Read a model back, as whoever trains on does."""
    auto: Any = transformers.AutoModelForCausalLM
    return auto.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def averaged(first: Path, second: Path, folder: Path) -> Path:
    """Write the mean of two checkpoints."""
    shutil.copytree(first, folder)
    one, other = (load_file(path / "model.safetensors") for path in (first, second))
    mean = {name: ((one[name].float() + other[name].float()) / 2).to(torch.bfloat16) for name in one}
    save_file(mean, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def rounded(first: Path, case: str, folder: Path) -> Path:
    """Write a checkpoint with its projections in fewer bits."""
    shutil.copytree(first, folder)
    _, encode, description = quantisers.FORMATS[case]
    values = {name: tensor.double() for name, tensor in load_file(folder / "model.safetensors").items()}
    return quantisers.quantise(tinymodels.described(folder, values), encode, description).folder


def measured(folder: Path) -> Measured:
    """Return inventory and record of a checkpoint."""
    inventory = tinymodels.inventory(folder)
    return inventory, measure({path.name: path for path in folder.iterdir()}, inventory, device="cpu")


def line(name: str, found: Compared) -> str:
    """Say what a comparison came to."""
    sketches = found.sketches
    assert sketches is not None
    return (
        f"{name:<38} {found.outcome:<10} {found.shared / found.size:9.1%} {sketches.near / sketches.elements:9.1%}   "
        f"{sketches.distance:.4f} ± {sketches.error:.4f}"
    )


def main() -> None:
    """Train, measure and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    steps = parser.parse_args().steps
    torch.set_num_threads(1)  # more threads add in another order
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        first = saved(trained(fresh(1), steps=steps), root / "first")
        second = saved(trained(fresh(2), steps=steps), root / "second")
        on = saved(trained(loaded(first), steps=MORE), root / "on")
        folders = {
            "the base itself": first,
            f"{MORE} more steps at a tenth of the rate": saved(
                trained(loaded(first), steps=MORE, rate=0.1), root / "slow"
            ),
            f"{MORE} more steps at the full rate": on,
            "the mean of those and the base": averaged(first, on, root / "mean"),
            **{case.partition(" in ")[2]: rounded(first, case, root / case.replace(" ", "-")) for case in ROUNDED},
            "another model": second,
            "the mean of that and the base": averaged(first, second, root / "half"),
        }
        inventory, record = measured(first)
        base = Base(inventory=inventory, record=record)
        print(f"{'compared with the base':<38} {'verified':<10} {'bytes':>9} {'near':>9}   distance")
        for what, folder in folders.items():
            print(line(what, compare(*measured(folder), base)), flush=True)


if __name__ == "__main__":
    main()
