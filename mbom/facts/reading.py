"""What a checkpoint says of itself, beside what its tensor table shows.

Declared values (``architecture``, ``card``) are the publisher's word and are kept as such; ``parameters`` and
``chat_templates`` are computed here from bytes that the inventory has digests of.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbom.digest import sha256
from mbom.facts.architecture import CONFIG, Architecture, read_architecture, remote_code
from mbom.facts.card import CARD, Card, Licence, read_card
from mbom.facts.members import Members, is_name, read_object
from mbom.facts.parameters import Parameters, count
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding, Inventory, TensorRecord

TOKENIZER_CONFIG = "tokenizer_config.json"
TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_JSON = "chat_template.json"
SIDE_FILES = (CONFIG, CARD, TOKENIZER_CONFIG, TEMPLATE_FILE, TEMPLATE_JSON)  # what ``read_facts`` looks into

_TEMPLATES_LIMIT = 64  # named templates of one tokenizer; honest ones have one to four
_STACK = re.compile(r"(?P<stack>.*?(?:layers|h|blocks?))\.(?P<index>\d{1,6})\.")


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template that turns messages into a prompt: the file that holds it, its name there, the SHA-256 of its text."""

    file: str
    name: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of one checkpoint.

    ``chat_templates`` begins with that of chat_template.jinja where there is one, as loaders prefer it; ``remote_code``
    lists what ``auto_map`` members ask for, as ``file: class = module.class``.
    """

    architecture: Architecture
    card: Card
    parameters: Parameters
    chat_templates: tuple[ChatTemplate, ...]
    remote_code: tuple[str, ...]

    @property
    def model_type(self) -> str | None:
        """The key by which transformers chooses its class."""
        return self.architecture.model_type

    @property
    def licence(self) -> Licence | None:
        """The licence as declared."""
        return self.card.licence


def read_facts(inventory: Inventory, side: Mapping[str, bytes]) -> tuple[Facts, tuple[Finding, ...]]:
    """Read the facts of a checkpoint.

    Args:
        inventory: the files and tensors, as read.
        side: the bytes of small files of the checkpoint by name; those of ``SIDE_FILES`` are looked into, and one
            that is not there counts as missing from the checkpoint.

    Returns:
        The facts, and findings for whatever could not be read: a broken file costs its own facts and no others.
    """
    architecture, findings = read_architecture(side.get(CONFIG))
    if CONFIG not in side and any(file.name == CONFIG for file in inventory.files):
        findings = (finding("config-malformed", CONFIG, "it is larger than any configuration that is read"),)
    card, more = read_card(side.get(CARD))
    if CARD not in side and any(file.name == CARD for file in inventory.files):
        more = (finding("card-malformed", CARD, "it is larger than any card that is read"),)
    templates, code, others = _tokenizer(side)
    facts = Facts(
        architecture=architecture,
        card=card,
        parameters=count(inventory.tensors, architecture),
        chat_templates=templates,
        remote_code=architecture.remote_code + code,
    )
    return facts, findings + more + others + _layers_differ(architecture, inventory.tensors)


def _tokenizer(side: Mapping[str, bytes]) -> tuple[tuple[ChatTemplate, ...], tuple[str, ...], tuple[Finding, ...]]:
    """Return chat templates and remote code of the tokenizer's files."""
    templates: list[ChatTemplate] = []
    code: tuple[str, ...] = ()
    findings: list[Finding] = []
    if TEMPLATE_FILE in side:
        templates.append(ChatTemplate(file=TEMPLATE_FILE, name="default", sha256=sha256(side[TEMPLATE_FILE])))
    for path in (TEMPLATE_JSON, TOKENIZER_CONFIG):
        if path not in side:
            continue
        document, problems = read_object(path, side[path])
        findings.extend(problems)
        if document is not None:
            members = Members(path, document)
            templates.extend(_templates(members))
            code += remote_code(members)
            findings.extend(members.findings)
    return tuple(templates), code, tuple(findings)


def _templates(members: Members) -> list[ChatTemplate]:
    """Return the templates of a ``chat_template`` member: one text, or a list of named ones."""
    name, value = members.find(("chat_template",))
    if value is None:
        return []
    listed = value if isinstance(value, list) else [{"name": "default", "template": value}]
    found = []
    for item in listed[: _TEMPLATES_LIMIT + 1]:
        label, text = (item.get("name"), item.get("template")) if isinstance(item, dict) else (None, None)
        if not is_name(label) or not isinstance(text, str):
            break
        found.append(ChatTemplate(file=members.path, name=label, sha256=sha256(text.encode())))
    if len(found) != len(listed) or len(found) > _TEMPLATES_LIMIT:
        members.reject(name, f"a template or a list of up to {_TEMPLATES_LIMIT} named templates")
        return []
    return found


def _layers_differ(architecture: Architecture, tensors: Sequence[TensorRecord]) -> tuple[Finding, ...]:
    """Compare the number of layers with the headers: some stack of tensors must have just that many layers.

    Layers that only predict further tokens may follow, as many as the configuration announces.
    """
    stacks: dict[str, set[int]] = defaultdict(set)
    for tensor in tensors:
        match = _STACK.match(tensor.name)
        if match is not None:
            stacks[match["stack"]].add(int(match["index"]))
    layers, extra = architecture.layers, architecture.prediction_layers or 0
    if layers is None or not stacks:
        return ()
    if any(len(found) in (layers, layers + extra) and max(found) == len(found) - 1 for found in stacks.values()):
        return ()
    seen = ", ".join(f"{len(found)} under {stack}" for stack, found in sorted(stacks.items())[:3])
    detail = f"{CONFIG} says {layers} layers, the tensors have {seen}"
    return (finding("config-layers-differ", CONFIG, detail),)
