"""Rules for items of the EU Model Documentation Form that no other list asks for."""

from collections.abc import Callable

from mbom.bom.coverage import models, systems
from mbom.bom.coverage.answers import Answer, datum, settle
from mbom.bom.coverage.datasets import datasets
from mbom.bom.coverage.documents import ancestors
from mbom.bom.coverage.view import View

# Components of the Model Openness Framework that the form means by assets besides the model, and their states.
_ASSETS = (
    *("datasets", "evaluation-code", "evaluation-data", "inference-code", "intermediate-parameters"),
    *("preprocessing-code", "supporting-libraries", "training-code"),
)
_PRESENT, _ABSENT = "present", "absent"
_HARDWARE = ("accelerator", "smallest")  # words of the footprint that say what the model fits on
_ROLE = "policy"  # of a file, as the inventory tells it


def stated(item: str) -> Callable[[View], Answer]:
    """Return the rule of an item that only the provider knows: a property ``mbom:gpai:ITEM`` of the model says it."""

    def answer(view: View) -> Answer:
        nodes = [*view.model.named(f"gpai:{item}"), *view.card.named(f"gpai:{item}")]
        return settle(view.stated(nodes), lacking="only the provider knows it")

    return answer


def name(view: View) -> Answer:
    """The name with the organisation, and the identifier."""
    known = models.name(view)
    identifiers = models.identifier(view)
    return settle(
        list(known.data) if known.disclosed else [],
        also=identifiers.data,
        lacking="the component has no name",
        mind="of this version; the BOM does not know the provider's other public versions",
    )


def dependencies(view: View) -> Answer:
    """Models that this one is a modification of; naming none does not mean that there is none."""
    return settle(ancestors(view), lacking="the BOM names no base model, and nobody says that there is none")


def distribution(view: View) -> Answer:
    """Where the model can be had."""
    return settle(
        view.stated(view.references("distribution")), lacking="the BOM does not say where the model can be had"
    )


def additional_assets(view: View) -> Answer:
    """What else is there besides the weights; what lies in the checkpoint is shown, what is only linked is not."""
    found = []
    for label, node in view.model.prefixed("openness:"):
        asset, state = label.removeprefix("openness:"), node.text.partition(" ")[0].strip(":")
        if asset in _ASSETS and node.text and state != _ABSENT:
            shown = view.ours and state == _PRESENT
            found.append(datum(node.pointer, f"{asset}: {node.text}", verified=shown))
    return settle(found, lacking="the BOM knows of nothing else that is available")


def acceptable_use_policy(view: View) -> Answer:
    """A policy file of the checkpoint, or an address of one; that none is found does not mean that none exists."""
    policies = [file["name"] for file in view.files if [node.value for node in file.named("file:role")] == [_ROLE]]
    found = view.computed(policies)
    found += view.stated([*view.model.named("licence:policy"), *view.model.named("gpai:acceptable-use-policy")])
    return settle(found, lacking="the BOM names no acceptable use policy, and nobody says that none exists")


def intended_uses(view: View) -> Answer:
    """Uses that are intended, or restricted."""
    nodes = [*view.card["considerations"]["useCases"].each(), *view.model.named("gpai:intended-uses")]
    found = view.stated(nodes) + view.computed(view.model.named("licence:restriction"))
    return settle(found, lacking="the BOM gives neither intended nor restricted uses")


def hardware(view: View) -> Answer:
    """Accelerators that the weights fit on, by arithmetic, and what the behaviour pass ran on."""
    fits = [pair for pair in view.card.prefixed("footprint:") if any(word in pair[0] for word in _HARDWARE)]
    ran = systems.hardware(view)
    return settle(
        view.labelled(fits, computed=True) + [item for item in ran.data if ran.disclosed],
        lacking="the BOM does not say what hardware the model needs",
    )


def software(view: View) -> Answer:
    """Software that the model was run with."""
    ran = systems.software(view)
    lacking = "the BOM does not say what software the model needs"
    return settle(list(ran.data) if ran.disclosed else [], lacking=lacking, mind=ran.reason)


def training_design(view: View) -> Answer:
    """How the training was designed."""
    nodes = [*view.model.named("gpai:training-design"), *view.card.named("gpai:training-design")]
    known = models.training(view)
    found = [item for item in known.data if known.disclosed]
    return settle(view.stated(nodes) + found, lacking="the BOM does not say how the training was designed")


def data_type(view: View) -> Answer:
    """Kinds of data, from the statistics of the data sets that are named."""
    nodes = [
        entry["value"]
        for dataset in datasets(view)
        for item in dataset.descriptions
        for entry in item["contents"]["properties"].each()
        if entry["name"].text.lower() in ("modality", "type", "format")
    ]
    nodes += [*view.model.named("gpai:data-type"), *view.card.named("gpai:data-type")]
    return settle(view.stated(nodes), lacking="the BOM does not say what kinds of data were used")


def data_provenance(view: View) -> Answer:
    """Data sets by name; the BOM does not say whether they are all."""
    nodes = [dataset.node["name"] for dataset in datasets(view)]
    nodes += [*view.model.named("gpai:data-provenance"), *view.card.named("gpai:data-provenance")]
    mind = "data sets that the publisher names; whether there were others is not known"
    return settle(view.stated(nodes), lacking="the BOM names no data set", mind=mind)


def training_energy(view: View) -> Answer:
    """Energy that the training took."""
    nodes = [*view.model.named("gpai:training-energy"), *view.card.named("gpai:training-energy")]
    found = systems.energy(view, "training") + view.stated(nodes)
    return settle(found, lacking="the BOM does not say how much energy the training took")
