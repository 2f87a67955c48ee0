"""The modelCard of the BOM: task, architecture, parameter counts, and what the behaviour pass measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from mbom.behaviour.coverage import Coverage
from mbom.behaviour.deployed import Deployed
from mbom.behaviour.record import ACTIVATION_LIMIT, MARGIN, MASKED_SHARE, SKETCH_LIMIT, Record
from mbom.behaviour.runtime import Runtime
from mbom.bom.properties import properties
from mbom.bom.sections.figures import Property, figures
from mbom.bom.sections.lineage import DATASET_REF
from mbom.bom.sections.openness import declared_metrics
from mbom.bom.sections.programs import tokenizer_properties
from mbom.digest import sha256
from mbom.facts.reading import Facts
from mbom.strictjson import Json

# Input and output by the hub's pipeline tag, for tasks of models that mbom can run.
_MODALITIES = {
    "text-generation": (("text",), ("text",)),
    "image-text-to-text": (("image", "text"), ("text",)),
    "audio-text-to-text": (("audio", "text"), ("text",)),
    "video-text-to-text": (("video", "text"), ("text",)),
}


@dataclass(frozen=True, kw_only=True)
class BehaviourSummary:
    """What a behaviour record says in a few numbers.

    Attributes:
        record_sha256: the digest of behaviour.json.
        prompt_set: the name of the versioned set of prompts.
        prompts: how many of them.
        positions: token positions measured, of all prompts together.
        coverage: how much of the checkpoint they exercised.
        weights: weights of which the record holds a sketch.
        trials: single weights that were moved by one unit in the last place to try how sharp the record is.
        deployed: how far an ordinary run in a narrow type was from the record; None where nobody asked.
        least_trial: how many times the limit of sketches the least visible of them showed; None without any.
        runtime: where and with what it ran.
        limits: the constants of the verdict by name, such as ``("relative_error", 1e-9)``.
    """

    record_sha256: str
    prompt_set: str
    prompts: int
    positions: int
    coverage: Coverage
    weights: int
    trials: int
    least_trial: float | None
    deployed: Deployed | None
    runtime: Runtime
    limits: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, record: Record, document: bytes) -> "BehaviourSummary":
        """Return the summary of a record whose behaviour.json is ``document``."""
        return cls(
            record_sha256=sha256(document),
            prompt_set=record.prompt_set,
            prompts=len(record.prompts),
            positions=record.positions,
            coverage=record.coverage,
            weights=len(record.weights),
            trials=len(record.sensitivity),
            deployed=record.deployed,
            least_trial=min((flip.error / SKETCH_LIMIT for flip in record.sensitivity), default=None),
            runtime=record.runtime,
            limits=(
                ("relative-error", ACTIVATION_LIMIT),
                ("sketch-error", SKETCH_LIMIT),
                ("router-margin", MARGIN),
                ("masked-share", MASKED_SHARE),
            ),
        )


def model_card(facts: Facts, behaviour: BehaviourSummary | None) -> dict[str, Json]:
    """Return the CycloneDX ``modelCard`` object."""
    languages = (("language", language) for language in facts.card.languages)
    card: dict[str, Json] = {
        "modelParameters": _model_parameters(facts),
        "properties": properties([*figures(facts), *languages, *tokenizer_properties(facts), *told(behaviour)]),
    }
    measured = metrics(behaviour) if behaviour is not None else []
    declared = declared_metrics(facts)
    if measured or declared:
        card["quantitativeAnalysis"] = {"performanceMetrics": measured + declared}
    return card


def _model_parameters(facts: Facts) -> dict[str, Json]:
    architecture, card = facts.architecture, facts.card
    found: dict[str, Json] = {}
    task = card.pipeline_tag
    if task is None and any(name.endswith("ForCausalLM") for name in architecture.architectures):
        task = "text-generation"
    if task is not None:
        found["task"] = task
    if architecture.model_type is not None:
        found["architectureFamily"] = architecture.model_type
    if architecture.architectures:
        found["modelArchitecture"] = ", ".join(architecture.architectures)
    inputs, outputs = _MODALITIES.get(
        task or "", (architecture.modalities, ("text",) if architecture.modalities else ())
    )
    if inputs:
        found["inputs"] = [{"format": kind} for kind in inputs]
        found["outputs"] = [{"format": kind} for kind in outputs]
    if facts.lineage.datasets:
        found["datasets"] = [{"ref": DATASET_REF + dataset.name} for dataset in facts.lineage.datasets]
    return found


def told(behaviour: BehaviourSummary | None) -> Iterator[Property]:
    """Yield what the card's properties say of the behaviour pass."""
    if behaviour is None:
        yield "behaviour", "not measured"
        return
    yield "behaviour", "measured"
    yield "behaviour:record:sha256", behaviour.record_sha256
    yield "behaviour:prompt-set", behaviour.prompt_set
    yield "behaviour:device", behaviour.runtime.device
    yield "behaviour:precision", behaviour.runtime.precision


def metrics(behaviour: BehaviourSummary) -> list[Json]:
    """Return what was measured and the limits by which a second measurement is judged, never an opinion on quality."""
    counts = {
        "prompts": behaviour.prompts,
        "positions": behaviour.positions,
        "layers": behaviour.coverage.layers,
        "experts": behaviour.coverage.experts,
        "experts-reached": behaviour.coverage.experts_reached,
        "weights": behaviour.weights,
    }
    values = [(name, str(number)) for name, number in counts.items()]
    if behaviour.least_trial is not None:
        values.append(("sensitivity:trials", str(behaviour.trials)))
        values.append(("sensitivity:least-factor", f"{behaviour.least_trial:.3g}"))
    if behaviour.deployed is not None and behaviour.deployed.distance is not None:
        told = vars(behaviour.deployed.distance).items()
        prefix = f"deployed:{behaviour.deployed.dtype}"
        values += [(f"{prefix}:{name.replace('_', '-')}", f"{number:.3g}") for name, number in told]
    values += [(f"limit:{name}", repr(limit)) for name, limit in sorted(behaviour.limits)]
    return [{"type": f"mbom:behaviour:{name}", "value": value, "slice": behaviour.prompt_set} for name, value in values]
