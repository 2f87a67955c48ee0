"""The modelCard of the BOM: task, architecture, parameter counts, and what the behaviour pass measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from mbom.behaviour.deployed import Deployed
from mbom.behaviour.record import ACTIVATION_LIMIT, MARGIN, MASKED_SHARE, SKETCH_LIMIT, Record
from mbom.bom.lineage import DATASET_REF
from mbom.bom.properties import properties
from mbom.digest import sha256
from mbom.facts.architecture import Architecture
from mbom.facts.parameters import ACTIVE_RULE, TOTAL_RULE, Parameters
from mbom.facts.reading import Facts
from mbom.strictjson import Json

Property = tuple[str, str]
TIED = {True: "true", False: "false"}

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
        layers: decoder layers that ran.
        experts: routed experts of all layers together; 0 without any.
        experts_reached: how many of them a prompt reached.
        weights: weights of which the record holds a sketch.
        trials: single weights that were moved by one unit in the last place to try how sharp the record is.
        deployed: how far an ordinary run in a narrow type was from the record; None where nobody asked.
        least_trial: how many times the limit of sketches the least visible of them showed; None without any.
        device: where it ran, as the record says.
        precision: the type of every floating-point number, such as ``float64``.
        limits: the constants of the verdict by name, such as ``("relative_error", 1e-9)``.
    """

    record_sha256: str
    prompt_set: str
    prompts: int
    positions: int
    layers: int
    experts: int
    experts_reached: int
    weights: int
    trials: int
    least_trial: float | None
    deployed: Deployed | None
    device: str
    precision: str
    limits: tuple[tuple[str, float], ...]

    @classmethod
    def of(cls, record: Record, document: bytes) -> "BehaviourSummary":
        """Return the summary of a record whose behaviour.json is ``document``."""
        coverage = record.coverage
        return cls(
            record_sha256=sha256(document),
            prompt_set=record.prompt_set,
            prompts=len(record.prompts),
            positions=record.positions,
            layers=coverage.layers,
            experts=coverage.experts,
            experts_reached=coverage.experts_reached,
            weights=len(record.weights),
            trials=len(record.sensitivity),
            deployed=record.deployed,
            least_trial=min((flip.error / SKETCH_LIMIT for flip in record.sensitivity), default=None),
            device=record.runtime.device,
            precision=record.runtime.precision,
            limits=(
                ("relative-error", ACTIVATION_LIMIT),
                ("sketch-error", SKETCH_LIMIT),
                ("router-margin", MARGIN),
                ("masked-share", MASKED_SHARE),
            ),
        )


def model_card(facts: Facts, behaviour: BehaviourSummary | None) -> dict[str, Json]:
    """Return the CycloneDX ``modelCard`` object."""
    card: dict[str, Json] = {
        "modelParameters": _model_parameters(facts),
        "properties": properties([*_facts(facts), *told(behaviour)]),
    }
    if behaviour is not None:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics(behaviour)}
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
    if task in _MODALITIES:
        inputs, outputs = _MODALITIES[task]
        found["inputs"] = [{"format": kind} for kind in inputs]
        found["outputs"] = [{"format": kind} for kind in outputs]
    if facts.lineage.datasets:
        found["datasets"] = [{"ref": DATASET_REF + dataset.name} for dataset in facts.lineage.datasets]
    return found


def numbers(parameters: Parameters, architecture: Architecture) -> dict[str, int | None]:
    """Return every number of the card by the name of its property; None where it is not known."""
    return {
        "parameters:total": parameters.total,
        "parameters:active": parameters.active,
        "parameters:active-with-embedding": parameters.active_with_embedding,
        "parameters:embedding": parameters.embedding,
        "parameters:other-modalities": parameters.other_modalities,
        "parameters:prediction-layers": parameters.prediction,
        "architecture:layers": architecture.layers,
        "architecture:prediction-layers": architecture.prediction_layers,
        "architecture:hidden-size": architecture.hidden,
        "architecture:attention-heads": architecture.heads,
        "architecture:key-value-heads": architecture.kv_heads,
        "architecture:experts": architecture.experts,
        "architecture:experts-per-token": architecture.experts_per_token,
        "architecture:context-length": architecture.context_length,
        "architecture:vocabulary": architecture.vocabulary,
        "architecture:sliding-window": architecture.sliding_window,
        "quantisation:bits": architecture.quantisation.bits if architecture.quantisation else None,
        **{f"stored-bytes:{dtype}": size for dtype, size in parameters.stored},
    }


def _facts(facts: Facts) -> Iterator[Property]:
    """Yield what is known; an unknown number is left out rather than given as zero."""
    parameters, architecture = facts.parameters, facts.architecture
    known = numbers(parameters, architecture)
    yield from ((name, str(number)) for name, number in known.items() if number is not None)
    yield "parameters:total:rule", TOTAL_RULE
    if parameters.active is not None:
        yield "parameters:active:rule", ACTIVE_RULE
    yield from (("parameters:note", note) for note in parameters.notes)
    yield from (("packing", packing) for packing in parameters.packings)
    if architecture.dtype is not None:
        yield "architecture:dtype", architecture.dtype
    if architecture.tied_embeddings is not None:
        yield "architecture:tied-embeddings", TIED[architecture.tied_embeddings]
    quantisation = architecture.quantisation
    if quantisation is not None and quantisation.method is not None:
        yield "quantisation:method", quantisation.method
    if quantisation is not None and quantisation.format is not None:
        yield "quantisation:format", quantisation.format
    yield from (("language", language) for language in facts.card.languages)


def told(behaviour: BehaviourSummary | None) -> Iterator[Property]:
    """Yield what the card's properties say of the behaviour pass."""
    if behaviour is None:
        yield "behaviour", "not measured"
        return
    yield "behaviour", "measured"
    yield "behaviour:record:sha256", behaviour.record_sha256
    yield "behaviour:prompt-set", behaviour.prompt_set
    yield "behaviour:device", behaviour.device
    yield "behaviour:precision", behaviour.precision


def metrics(behaviour: BehaviourSummary) -> list[Json]:
    """Return what was measured and the limits by which a second measurement is judged, never an opinion on quality."""
    counts = {
        "prompts": behaviour.prompts,
        "positions": behaviour.positions,
        "layers": behaviour.layers,
        "experts": behaviour.experts,
        "experts-reached": behaviour.experts_reached,
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
