"""Chat templates: where they are, the digest of each as a loader takes it, and what its syntax tree shows.

A template is a program that decides what the model is told, so each is a fact of its own. What is found says what a
template can do, never that it is safe; ``mbom.facts.dependence`` has the rule for words of messages that decide.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from jinja2 import nodes

from mbom.digest import sha256
from mbom.errors import FormatError
from mbom.facts.dependence import Meaning, decisions
from mbom.facts.invisible import invisible
from mbom.facts.jinja import GROWTH, faults, parse, walk
from mbom.facts.members import Members, is_name
from mbom.facts.places import Place
from mbom.inventory.findings import finding, listed
from mbom.inventory.record import Finding
from mbom.strictjson import Json

TEMPLATE_FILE = "chat_template.jinja"
TEMPLATE_JSON = "chat_template.json"
FURTHER_TEMPLATES = "additional_chat_templates/"  # NAME.jinja in there
DEFAULT = "default"

TEMPLATES_LIMIT = 64  # named templates of one tokenizer; honest ones have one to four
CHARACTERS_LIMIT = 1 << 19  # of all templates together that are looked into: some four seconds on hostile ones
STEPS_LIMIT = 100_000  # of nested loops over literal ranges; jinja2's sandbox stops one loop there, but not two nested
NESTED_LIMIT = 3  # loops over ranges inside each other whose lengths the template computes
REPEAT_LIMIT = 10_000  # copies of a text, or columns that it is padded to

_WIDTH = re.compile(r"%[-+ #0]*\d{5,}|\{[^{}]*:[^{}]*\d{5,}")  # of a format: '%99999d', '{:99999}'
_PADDING = frozenset({"center", "indent", "wordwrap", "ljust", "rjust", "zfill"})

_MEANINGS: Mapping[Meaning, tuple[str, str]] = {
    "markup": ("template-content", "looks for tags of its own protocol in messages"),
    "switch": ("template-content", "looks in messages for switches that its publisher documents"),
    "trigger": ("template-trigger", "does something else when a message holds"),
}


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """A template that turns messages into a prompt.

    Attributes:
        file: the file that holds it.
        name: its name there, ``default`` where it has none.
        sha256: of its text in UTF-8 as a loader takes it: a JSON string decoded, and a file's ends of line as line
            feeds. A file that is not UTF-8 has the digest of its bytes.
        findings: ids of the findings about it, sorted.
        place: where it was read.
    """

    file: str
    name: str
    sha256: str
    findings: tuple[str, ...] = ()
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Source:
    """The text of one template, None where its file is no text, and where it stands."""

    name: str
    text: str | None
    data: bytes
    place: Place


def file_sources(side: Mapping[str, bytes]) -> Iterator[Source]:
    """Yield the templates that are files of their own, the default one first, as loaders prefer them."""
    names = sorted(name for name in side if further(name) is not None)
    if TEMPLATE_FILE in side:
        names.insert(0, TEMPLATE_FILE)
    for name in names:
        data = side[name]
        try:
            # Python's text files, which loaders read templates through, turn every end of line into a line feed.
            text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
        except UnicodeDecodeError:
            text = None
        yield Source(name=further(name) or DEFAULT, text=text, data=data, place=Place(file=name))


def further(name: str) -> str | None:
    """Return NAME of ``additional_chat_templates/NAME.jinja``, None for any other file."""
    inner = name.removeprefix(FURTHER_TEMPLATES)
    return inner.removesuffix(".jinja") if inner != name and "/" not in inner and inner.endswith(".jinja") else None


def member_sources(members: Members) -> list[Source]:
    """Return the templates of a ``chat_template`` member: one text, or a list of named ones."""
    member, value = members.find(("chat_template",))
    if value is None:
        return []
    named = not isinstance(value, str)
    entries: list[Json] = value if isinstance(value, list) else [{"name": DEFAULT, "template": value}]
    found = []
    for number, item in enumerate(entries[: TEMPLATES_LIMIT + 1]):
        label, text = (item.get("name"), item.get("template")) if isinstance(item, dict) else (None, None)
        if not is_name(label) or not isinstance(text, str):
            break
        pointer = f"/{member}/{number}/template" if named else f"/{member}"
        place = Place(file=members.path, pointer=pointer)
        found.append(Source(name=label, text=text, data=text.encode(), place=place))
    doubled = len({source.name for source in found}) != len(found)
    if len(found) != len(entries) or len(found) > TEMPLATES_LIMIT or doubled:
        members.reject(member, f"a template or a list of up to {TEMPLATES_LIMIT} templates with a name each")
        return []
    return found


def read_templates(sources: Sequence[Source]) -> tuple[tuple[ChatTemplate, ...], tuple[Finding, ...]]:
    """Return what is known of each template, and what its syntax tree shows."""
    templates, findings, characters = [], list[Finding](), 0
    for source in sources:
        characters += len(source.text or "")
        if characters > CHARACTERS_LIMIT:
            detail = f"it is not looked into: all templates together have more than {CHARACTERS_LIMIT} characters"
            found = [finding("template-malformed", source.place.file, _about(source, detail))]
        else:
            found = list(_findings(source))
        findings.extend(found)
        templates.append(
            ChatTemplate(
                file=source.place.file,
                name=source.name,
                sha256=sha256(source.data if source.text is None else source.text.encode()),
                findings=tuple(sorted({item.id for item in found})),
                place=source.place,
            )
        )
    return tuple(templates), tuple(findings)


def _about(source: Source, detail: str) -> str:
    return detail if source.name == DEFAULT else f"template {source.name}: {detail}"


def _findings(source: Source) -> Iterator[Finding]:
    """Yield one finding for each kind of thing that a template does, with the lines."""
    file = source.place.file
    if source.text is None:
        yield finding("template-malformed", file, _about(source, "it is not UTF-8, so that nothing is known of it"))
        return
    seen: dict[str, list[str]] = {}
    hidden = _hidden_characters(source.text)
    try:
        tree = parse(file, source.text)
    except FormatError as error:
        tree = None
        seen["template-malformed"] = [str(error)]
    if tree is not None:
        for fault in faults(tree):
            seen.setdefault(fault.id, []).append(f"line {fault.line} {fault.phrase}")
        hidden += [char for node in walk(tree) for char in _in_literal(node)]
        for kind, phrase in (*_calls(tree), *_growth(tree), *_loops(tree)):
            seen.setdefault(kind, []).append(phrase)
        for kind, detail in _decisions(tree):
            yield finding(kind, file, _about(source, detail))
    if hidden:
        seen["template-invisible"] = [f"it holds {listed(sorted(dict.fromkeys(hidden)))}"]
    for kind, phrases in seen.items():
        yield finding(kind, file, _about(source, listed(list(dict.fromkeys(phrases)))))


def _hidden_characters(text: str) -> list[str]:
    return [f"{char} in line {number}" for number, line in enumerate(text.split("\n"), 1) for char in invisible(line)]


def _in_literal(node: nodes.Node) -> list[str]:
    r"""Return invisible characters that a literal spells by escapes, such as ``'\\u200b'``."""
    if not isinstance(node, nodes.Const) or not isinstance(node.value, str):
        return []
    return [f"{char} in line {node.lineno}" for char in invisible(node.value)]


def _decisions(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    by_meaning: dict[Meaning, dict[str, list[int]]] = {}
    for decision in decisions(tree):
        by_meaning.setdefault(decision.meaning, {}).setdefault(decision.literal, []).append(decision.line)
    for meaning, literals in sorted(by_meaning.items()):
        kind, phrase = _MEANINGS[meaning]
        shown = [f"{literal.strip()!r} ({_lines(lines)})" for literal, lines in literals.items()]
        yield kind, f"{phrase}: {listed(shown)}"


def _lines(lines: Sequence[int]) -> str:
    numbers = [str(line) for line in sorted(set(lines))]
    return f"line{'s' if len(numbers) > 1 else ''} {listed(numbers)}"


def _calls(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    """Yield what makes one conversation give another prompt tomorrow: the clock and chance."""
    for node in walk(tree):
        if isinstance(node, nodes.Name) and node.name == "strftime_now":
            yield "template-clock", f"line {node.lineno} reads the clock"
        elif isinstance(node, nodes.Name) and node.name == "lipsum":
            yield "template-chance", f"line {node.lineno} writes random text"
        elif isinstance(node, nodes.Filter) and node.name == "random":
            yield "template-chance", f"line {node.lineno} picks at random"


def _growth(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    """Yield what makes a short template write without end."""
    for node in walk(tree):
        if isinstance(node, nodes.Mul):
            factors = [side.value for side in (node.left, node.right) if isinstance(side, nodes.Const)]
            if any(isinstance(factor, int) and factor > REPEAT_LIMIT for factor in factors):
                yield GROWTH, f"line {node.lineno} multiplies by more than {REPEAT_LIMIT}"
        elif isinstance(node, nodes.Const) and isinstance(node.value, str) and _WIDTH.search(node.value):
            yield GROWTH, f"line {node.lineno} formats in more than {REPEAT_LIMIT} columns"
        elif _is_padding(node) and any(
            isinstance(inner, nodes.Const) and isinstance(inner.value, int) and inner.value > REPEAT_LIMIT
            for inner in node.iter_child_nodes()
        ):
            yield GROWTH, f"line {node.lineno} pads to more than {REPEAT_LIMIT} columns"
        elif _doubles(node):
            yield GROWTH, f"line {node.lineno} doubles a text"


def _is_padding(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.name in _PADDING
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.node.attr in _PADDING


def _doubles(node: nodes.Node) -> bool:
    """Tell whether a node assigns to a variable its own text twice: some forty of that fill any memory."""
    if not isinstance(node, nodes.Assign) or not isinstance(node.target, nodes.Name | nodes.NSRef):
        return False
    if not isinstance(node.node, nodes.Concat | nodes.Add):
        return False
    name, attribute = node.target.name, node.target.attr if isinstance(node.target, nodes.NSRef) else None
    parts = [
        part
        for part in walk(node.node)
        if (attribute is None and isinstance(part, nodes.Name) and part.name == name)
        or (
            isinstance(part, nodes.Getattr)
            and isinstance(part.node, nodes.Name)
            and (part.node.name, part.attr) == (name, attribute)
        )
    ]
    return len(parts) > 1


def _loops(tree: nodes.Template) -> Iterator[tuple[str, str]]:
    """Yield loops over ranges that are long by their literals, or nested ``NESTED_LIMIT`` deep."""
    pending: list[tuple[nodes.Node, int, int]] = [(tree, 1, 0)]  # node, steps by literals, loops of computed length
    while pending:
        node, steps, computed = pending.pop()
        if isinstance(node, nodes.For) and (bounds := _range(node.iter)) is not None:
            if bounds:
                steps *= min(max(bounds), STEPS_LIMIT + 1)
            else:
                computed += 1
            if steps > STEPS_LIMIT:
                yield "template-loop", f"line {node.lineno} loops more than {STEPS_LIMIT} times"
                continue
            if computed >= NESTED_LIMIT:
                yield "template-loop", f"line {node.lineno} nests {computed} loops over ranges"
                continue
        pending.extend((child, steps, computed) for child in reversed(list(node.iter_child_nodes())))


def _range(node: nodes.Node) -> list[int] | None:
    """Return the integer literals of a call of ``range``; None for anything else."""
    if not isinstance(node, nodes.Call) or not isinstance(node.node, nodes.Name) or node.node.name != "range":
        return None
    return [abs(arg.value) for arg in node.args[:2] if isinstance(arg, nodes.Const) and isinstance(arg.value, int)
            and abs(arg.value) > 1]  # fmt: skip
