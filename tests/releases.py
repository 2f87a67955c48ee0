"""Synthetic releases of a model: which files lie in a repository, and what its card says."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import shapes

from mbom.digest import sha256
from mbom.facts import Facts
from mbom.facts.architecture import read_architecture
from mbom.facts.card import read_card
from mbom.facts.openness import Openness, assess
from mbom.facts.reading import read_facts
from mbom.inventory import DeclaredFile, FileRecord, Inventory
from mbom.inventory.roles import role
from mbom.source import Origin

MIT = Path(__file__).parent.parent / "fixtures" / "licences" / "mit.txt"
PROSE = "This paragraph says what a reader of the card wants to know of the model. " * 5

# One file for each component of the framework, by the component's key.
OF_COMPONENT = {
    "model-architecture": "modeling_x.py",
    "technical-report": "technical_report.pdf",
    "evaluation-results": "eval_results.json",
    "data-card": "DATA_CARD.md",
    "sample-outputs": "sample_outputs.md",
    "training-code": "train.py",
    "inference-code": "inference.py",
    "evaluation-code": "evaluate.py",
    "evaluation-data": "eval/questions.jsonl",
    "supporting-libraries": "requirements.txt",
    "research-paper": "paper.pdf",
    "datasets": "data/corpus.parquet",
    "preprocessing-code": "prepare_data.py",
    "intermediate-parameters": "checkpoint-100/model.safetensors",
    "model-metadata": "trainer_state.json",
}


def card(front_matter: str = "license: apache-2.0", text: str = PROSE) -> bytes:
    """Return a card."""
    return f"---\n{front_matter}\n---\n# A model\n\n{text}\n".encode()


def inventory(names: Sequence[str], text: bytes | None, *, declared: Sequence[str] = ()) -> Inventory:
    """Return the inventory of a repository that holds weights, a card and files of the given names."""
    tensors = shapes.records([("model.embed_tokens.weight", "BF16", (8, 4))])
    files = [FileRecord(name=name, size=10, sha256=sha256(name.encode()), role=role(name)) for name in names]
    files.append(FileRecord(name="model.safetensors", size=tensors[-1].end, sha256="a" * 64, role="weights"))
    if text is not None:
        files.append(FileRecord(name="README.md", size=len(text), sha256=sha256(text), role="card"))
    return Inventory(
        origin=Origin(kind="hub", name="x", repo="org/x", revision="1" * 40),
        files=tuple(sorted(files, key=lambda file: file.name)),
        tensors=tensors,
        declared=tuple(DeclaredFile(name=name, size=5, sha256=None, git_blob="d" * 40) for name in declared),
    )


def release(
    names: Sequence[str],
    text: bytes | None,
    *,
    declared: Sequence[str] = (),
    config: bytes | None = None,
    detected: Mapping[str, Sequence[str]] | None = None,
) -> Openness:
    """Return the openness of a repository."""
    held = inventory(names, text, declared=declared)
    return assess(held, read_card(text)[0], text, read_architecture(config)[0], detected)


def facts(names: Sequence[str], text: bytes | None) -> tuple[Inventory, Facts]:
    """Return the inventory and the facts of a repository; a file called LICENSE holds that of MIT."""
    held = inventory(names, text)
    side = {} if text is None else {"README.md": text}
    if "LICENSE" in names:
        side["LICENSE"] = MIT.read_bytes()
    return held, read_facts(held, side)[0]
