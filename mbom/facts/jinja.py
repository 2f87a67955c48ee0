"""Chat templates as syntax trees: how they are parsed, and what no honest one holds.

The engine renders with the same grammar and refuses by the same table (``mbom.engine.template``); the facts report.
Parsing runs nothing of a template. On hostile input of every shape tried the parser takes time linear in the size, at
most 6 µs a character, and nesting ends in its RecursionError, so that a limit on the source bounds it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Macro

from mbom.errors import FormatError

SOURCE_LIMIT = 1 << 18  # characters; the longest honest template seen has 25,000
INTEGER_LIMIT = 10**9  # an honest template counts messages

ESCAPE = "template-escape"
IMPORT = "template-import"
GROWTH = "template-growth"

_DUNDER = re.compile(r"__[a-z]+(?:_[a-z]+)*__")  # names of the interpreter's own
_FORBIDDEN_NODES: Mapping[type[nodes.Node], tuple[str, str]] = {
    nodes.Include: (IMPORT, "includes another file"),
    nodes.Import: (IMPORT, "imports another file"),
    nodes.FromImport: (IMPORT, "imports another file"),
    nodes.Extends: (IMPORT, "extends another file"),
    nodes.Pow: (GROWTH, "raises numbers to powers"),
}
_PIECES_DEEP = 64  # additions inside each other that are followed to put a text together
_FORBIDDEN_FILTERS = frozenset({"attr"})  # reaches attributes by computed names


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that no honest template does: the id of its finding, the line from 1, what it does as a phrase."""

    id: str
    line: int
    phrase: str


class Generation(Extension):
    """The ``{% generation %}`` block of transformers, which marks the assistant's text and changes nothing in it."""

    tags = {"generation"}  # noqa: RUF012 - as the base class declares it

    def parse(self, parser: Parser) -> nodes.Node:
        """Parse the block as a call, not as its bare body: variables that are set inside stay inside."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_contents"), [], [], body).set_lineno(line)

    def _contents(self, caller: Macro) -> str:
        contents: str = caller()
        return contents


EXTENSIONS = (Generation, loopcontrols)


def parse(name: str, source: str, environment: jinja2.Environment | None = None) -> nodes.Template:
    """Return the syntax tree of a template; ``name`` is what messages call it.

    Raises:
        FormatError: when it is too long, nested too deep, or no template.
    """
    if len(source) > SOURCE_LIMIT:
        raise FormatError(f"{name}: a template of {len(source)} characters, the limit is {SOURCE_LIMIT}")
    if environment is None:
        environment = jinja2.Environment(  # noqa: S701 - nothing is rendered here, so that nothing needs escaping
            trim_blocks=True, lstrip_blocks=True, extensions=EXTENSIONS
        )
    try:
        return environment.parse(source)
    except jinja2.TemplateSyntaxError as error:
        raise FormatError(f"{name}: not a Jinja template: {error.message} at line {error.lineno}") from error
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{name}: a template that cannot be compiled: {type(error).__name__}") from error


def walk(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Yield every node, a parent before its children and in the order of the source; depth is the template's."""
    pending = [tree]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(list(node.iter_child_nodes())))


def faults(tree: nodes.Template) -> Iterator[Fault]:
    """Yield what no honest template holds, in the order of the source."""
    for node in walk(tree):
        found = _fault(node)
        if found is not None:
            yield Fault(id=found[0], line=node.lineno, phrase=found[1])


def _fault(node: nodes.Node) -> tuple[str, str] | None:
    fault = _FORBIDDEN_NODES.get(type(node))
    match node:
        case nodes.Filter(name=filter_name) if filter_name in _FORBIDDEN_FILTERS:
            fault = (ESCAPE, f"uses the filter {filter_name!r}")
        case nodes.Getattr(attr=attribute) if attribute.startswith("_"):
            fault = (ESCAPE, f"reads the attribute {attribute[:40]!r}")
        case nodes.Name(name=variable) if _DUNDER.search(variable):
            fault = (ESCAPE, f"reads the variable {variable[:40]!r}")
        case nodes.Const(value=str(text)) if found := _DUNDER.search(text):
            fault = (ESCAPE, f"names {found[0][:40]!r}")
        case nodes.Const(value=int(number)) if abs(number) > INTEGER_LIMIT:
            fault = (GROWTH, f"has an integer above {INTEGER_LIMIT}")
        case nodes.Concat() | nodes.Add() | nodes.Filter(name="join" | "reverse"):
            if found := _DUNDER.search(_put_together(node)):
                fault = (ESCAPE, f"puts {found[0][:40]!r} together")
    return fault


def _put_together(node: nodes.Node | None, depth: int = 0) -> str:
    """Return the text that literal pieces make; what is not literal makes none."""
    text, pieces, between = "", list[nodes.Expr](), ""
    match node:
        case nodes.Const(value=str(value)):
            text = value
        case nodes.Add(left=left, right=right):
            pieces = [left, right]
        case nodes.Concat(nodes=inner) | nodes.List(items=inner) | nodes.Tuple(items=inner):
            pieces = inner
        case nodes.Filter(name="join", node=nodes.List(items=inner) | nodes.Tuple(items=inner), args=arguments):
            pieces, between = inner, _put_together(arguments[0], depth + 1) if arguments else ""
        case nodes.Filter(name="reverse", node=inner):
            text = _put_together(inner, depth + 1)[::-1] if depth < _PIECES_DEEP else ""
    if depth < _PIECES_DEEP:
        text += between.join(_put_together(piece, depth + 1) for piece in pieces)
    return text
