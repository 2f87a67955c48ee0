"""What the BOM says of the parts of a checkpoint that work like programs: tokenizer, chat templates, code, pickles.

Each chat template is a component of its own, with the digest of its text as a loader takes it, and the model depends on
it: a template that changes is another model to whoever talks to it, with every weight in place.
"""

from collections.abc import Iterator, Mapping

from mbom.bom import identity
from mbom.bom.parts import join
from mbom.bom.properties import properties
from mbom.facts.reading import Facts
from mbom.facts.templates import ChatTemplate
from mbom.facts.tokenizer import VOCABULARY_RULE
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

GLOBALS_SHOWN = 64  # globals of one pickle that are named; the number of all stands beside them

_Property = tuple[str, str]


def template_ref(template: ChatTemplate) -> str:
    """Return the bom-ref of a chat template."""
    return f"chat-template:{template.file}#{template.name}"


def tokenizer_properties(facts: Facts) -> Iterator[_Property]:
    """Yield what the model card says of the tokenizer; what is not known is left out."""
    tokenizer = facts.tokenizer
    told: dict[str, str | int | None] = {
        "class": tokenizer.declared,
        "kind": tokenizer.kind,
        "base": tokenizer.base,
        "added": tokenizer.added,
        "special": tokenizer.special,
        "rows": tokenizer.rows,
        "vocabulary": f"sha256:{tokenizer.vocabulary_sha256}" if tokenizer.vocabulary_sha256 else None,
        "vocabulary:rule": VOCABULARY_RULE if tokenizer.vocabulary_sha256 else None,
        **dict(tokenizer.roles),
    }
    yield from ((f"tokenizer:{name}", str(value)) for name, value in told.items() if value is not None)
    yield from (("tokenizer:file", name) for name in tokenizer.files)
    yield from (("tokenizer:special-token", f"{number} {text}") for number, text in tokenizer.special_tokens)
    yield from (("tokenizer:step", f"{number:02} {step}") for number, step in enumerate(tokenizer.steps, 1))
    yield from (("tokenizer:chat-template", template_ref(template)) for template in facts.chat_templates)


def code_properties(facts: Facts) -> Iterator[_Property]:
    """Yield what the model's properties say of templates and of code."""
    for template in facts.chat_templates:
        yield "chat-template", f"sha256:{template.sha256} {template.file} {template.name}"
    yield from (("remote-code", entry) for entry in facts.remote_code)
    code = facts.code
    yield "code:count", str(len(code.files))
    yield from (("code:file", f"{kind}: {name}") for name, kind in code.files)
    yield from (("code:format", f"{kind}: {name}") for name, kind in code.executables)
    if code.examined:
        yield "pickle:count", str(len(code.pickles))
    for pickle in code.pickles:
        state = "" if pickle.whole else ", not followed to its end"
        named = f"{pickle.harmless} globals that are known to be harmless, {len(pickle.globals)} others{state}"
        yield "pickle:file", f"{pickle.file}: {pickle.format}, {named}"
        yield from (("pickle:global", f"{pickle.file}: {name}") for name in pickle.globals[:GLOBALS_SHOWN])


def add_templates(document: dict[str, Json], inventory: Inventory, facts: Facts, model_ref: str) -> None:
    """Add the chat templates to a document, as components that the model depends on and that stand in files."""
    files = {file.name for file in inventory.files}
    refs: list[Json] = [template_ref(template) for template in facts.chat_templates]
    components: list[Json] = [_component(template) for template in facts.chat_templates]
    dependencies: list[Json] = [
        {"ref": template_ref(template), "dependsOn": [identity.file_ref(template.file)]}
        if template.file in files
        else {"ref": template_ref(template)}
        for template in facts.chat_templates
    ]
    held = document["dependencies"]
    assert isinstance(held, list)
    model = next(item for item in held if isinstance(item, dict) and item["ref"] == model_ref)
    if refs:
        join(model, {"dependsOn": refs})
        join(document, {"components": components, "dependencies": dependencies})


def _component(template: ChatTemplate) -> dict[str, Json]:
    place: Mapping[str, str] = {}
    if template.place is not None and template.place.pointer is not None:
        place = {"chat-template:pointer": template.place.pointer}
    told = [
        ("chat-template:file", template.file),
        *place.items(),
        *(("chat-template:finding", kind) for kind in template.findings),
    ]
    return {
        "type": "data",
        "bom-ref": template_ref(template),
        "mime-type": "text/plain",
        "name": f"chat template {template.name}",
        "description": "The program that turns messages into the text of a prompt; its digest is that of its text.",
        "hashes": [{"alg": "SHA-256", "content": template.sha256}],
        "data": [{"type": "definition", "name": template.name}],
        "properties": properties(told),
    }
