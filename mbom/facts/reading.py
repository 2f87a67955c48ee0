"""What a checkpoint says of itself, beside what its tensor table shows.

Declared values (``architecture``, ``card``) are the publisher's word and are kept as such; ``parameters`` and
``chat_templates`` are computed here from bytes that the inventory has digests of.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mbom.facts.agreement import disagreements, layers_differ
from mbom.facts.architecture import CONFIG, Architecture, read_architecture, remote_code
from mbom.facts.card import CARD, Card, Licence, read_card
from mbom.facts.code import Code, elsewhere, read_code
from mbom.facts.footprint import Footprint, footprint
from mbom.facts.licences import Licensing, read_licensing
from mbom.facts.lineage import ADAPTER_CONFIG, Lineage, read_lineage
from mbom.facts.members import Members, read_object
from mbom.facts.openness import Openness, assess
from mbom.facts.parameters import Parameters, count
from mbom.facts.sideconfigs import side_configs
from mbom.facts.templates import (
    TEMPLATE_FILE,
    TEMPLATE_JSON,
    ChatTemplate,
    file_sources,
    member_sources,
    read_templates,
)
from mbom.facts.tensordigests import TensorDigests, tensor_digests
from mbom.facts.tokenizer import SPECIAL_TOKENS, TOKENIZER_CONFIG, Tokenizer, read_tokenizer
from mbom.facts.vocabulary import vocabulary_file
from mbom.inventory.executables import Contents
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding, Inventory

SIDE_FILES = (
    CONFIG,
    CARD,
    TOKENIZER_CONFIG,
    TEMPLATE_FILE,
    TEMPLATE_JSON,
    ADAPTER_CONFIG,
)  # read whatever the tokenizer is


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one checkpoint.

    ``chat_templates`` begins with that of chat_template.jinja where there is one, as loaders prefer it; ``remote_code``
    lists what ``auto_map`` members ask for, as ``file: class = module.class``.
    """

    architecture: Architecture
    card: Card
    lineage: Lineage
    parameters: Parameters
    tensors: TensorDigests
    chat_templates: tuple[ChatTemplate, ...]
    remote_code: tuple[str, ...]
    openness: Openness
    licensing: Licensing
    tokenizer: Tokenizer = field(default_factory=Tokenizer)
    code: Code = field(default_factory=Code)

    @property
    def model_type(self) -> str | None:
        """The key by which transformers chooses its class."""
        return self.architecture.model_type

    @property
    def footprint(self) -> Footprint:
        """The memory that the model takes."""
        return footprint(self.parameters, self.architecture)

    @property
    def licence(self) -> Licence | None:
        """The licence as declared."""
        return self.card.licence


def read_facts(
    inventory: Inventory, side: Mapping[str, bytes], contents: Mapping[str, Contents] | None = None
) -> tuple[Facts, tuple[Finding, ...]]:
    """Read the facts of a checkpoint.

    Args:
        inventory: the files and tensors, as read.
        side: the bytes of small files of the checkpoint by name: those of ``SIDE_FILES``, licence and policy texts,
            further chat templates and the tokenizer's are looked into, and one that is not there counts as missing from
            the checkpoint.
        contents: what files could make a reader run, by name, as the scan gives it; None where nobody looked.

    Returns:
        The facts, and findings for whatever could not be read: a broken file costs its own facts and no others.
    """
    architecture, findings = read_architecture(side.get(CONFIG))
    document, _ = read_object(CONFIG, side[CONFIG]) if CONFIG in side else (None, ())
    if CONFIG not in side and any(file.name == CONFIG for file in inventory.files):
        findings = (finding("config-malformed", CONFIG, "it is larger than any configuration that is read"),)
    card, more = read_card(side.get(CARD))
    if CARD not in side and any(file.name == CARD for file in inventory.files):
        more = (finding("card-malformed", CARD, "it is larger than any card that is read"),)
    licensing, conflicts = read_licensing(inventory, side, card)
    lineage, adapter = read_lineage(card, side.get(ADAPTER_CONFIG))
    documents, others = _documents(side)
    templates, seen = read_templates(
        [*file_sources(side), *(source for members in documents.values() for source in member_sources(members))]
    )
    code = architecture.remote_code + tuple(entry for members in documents.values() for entry in remote_code(members))
    tokenizer, surprises = read_tokenizer(inventory, side, documents.get(TOKENIZER_CONFIG), architecture.vocabulary)
    rejected = tuple(item for members in documents.values() for item in members.findings)
    facts = Facts(
        architecture=architecture,
        card=card,
        lineage=lineage,
        parameters=count(inventory.tensors, architecture),
        tensors=tensor_digests(inventory.tensors),
        chat_templates=templates,
        remote_code=code,
        openness=assess(inventory, card, side.get(CARD), architecture, licensing.found),
        licensing=licensing,
        tokenizer=tokenizer,
        code=read_code(inventory, contents),
    )
    findings += more + conflicts + adapter + others + rejected + seen + surprises + elsewhere(code)
    mapped = (SPECIAL_TOKENS,) if TOKENIZER_CONFIG in documents else ()
    read = {*SIDE_FILES, *mapped, vocabulary_file(side)}
    findings += tuple(side_configs(side, (file.name for file in inventory.files), code, read))
    findings += tuple(layers_differ(architecture, inventory.tensors))
    # A checkpoint that is broken already contradicts itself in any number of ways.
    if all(item.severity != "error" for item in (*inventory.findings, *findings)):
        findings += tuple(disagreements(architecture, document or {}, inventory.tensors))
    return facts, findings


def _documents(side: Mapping[str, bytes]) -> tuple[dict[str, Members], tuple[Finding, ...]]:
    """Return the members of the files that hold templates and the tokenizer's configuration, in the loaders' order."""
    found, findings = dict[str, Members](), list[Finding]()
    for path in (TEMPLATE_JSON, TOKENIZER_CONFIG):
        if path in side:
            document, problems = read_object(path, side[path])
            findings.extend(problems)
            if document is not None:
                found[path] = Members(path, document)
    return found, tuple(findings)
