r"""Where a chat template lets the words of a message decide what it writes.

A template that compares what a user wrote with a phrase of its own can behave one way for everybody and another way for
whoever writes that phrase, with no weight changed. So the text of messages is followed through the syntax tree: from
``content`` (and what else holds text) through variables, namespaces, macros, loops, filters and string methods, to
every place that holds it against literal text. What such a place means is told by the literal:

- Without a letter or digit (``''``, ``'\n'``) it is punctuation and means nothing.
- *Markup*: tags of which the template itself writes one by that name, such as ``</think>`` where it writes
  ``<think>``, and any tag in what only the assistant said. Honest templates look for the tags of their own protocol,
  to cut reasoning out of earlier turns.
- A *switch* of ``SWITCHES``, by which published models let the user turn reasoning on or off.
- Anything else is a *trigger*.

The analysis knows no order of execution and no values: it may follow text where none flows, and reports nothing that
is computed from numbers, such as the length of a message.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any, Literal, NamedTuple

from jinja2 import nodes

from mbom.facts.jinja import walk

ROUNDS = 12  # passes over a tree; text flows backwards once for each loop or macro around it, and honest ones need four
TEXTS_LIMIT = 32  # literals followed for one expression
LITERAL_LIMIT = 120  # characters of a literal that are followed and shown

# What users may write to models by their cards (Qwen3, GLM-4.5, Nemotron, SmolLM3, Ling), in templates read in
# November 2026.
SWITCHES = frozenset({
    "/think", "/no_think", "/nothink", "/system_override", "detailed thinking on", "detailed thinking off",
})  # fmt: skip

_TAG = re.compile(r"<[|｜/]*([\w▁:-]{1,64})[|｜/]*>|\[/?([A-Z_]{1,64})\]")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
_SOURCES = frozenset({"messages", "conversation", "documents"})  # variables that hold messages
_OWN_ROLES = frozenset({"assistant", "model"})
_OTHER_ROLES = frozenset({"user", "human", "system", "developer", "tool"})
_TEXT_KEYS = frozenset({"content", "text", "reasoning_content", "reasoning"})

_DECIDING = frozenset({"startswith", "endswith", "find", "rfind", "index", "rindex", "count", "__contains__"})
_CUTTING = frozenset({"split", "rsplit", "partition", "rpartition", "splitlines"})
_REPLACING = frozenset({"replace", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix"})
_NUMBERS = frozenset({"length", "count", "int", "float", "abs", "sum", "round"})
_CHOOSING = frozenset({"select", "reject", "selectattr", "rejectattr"})
_PICKING = frozenset({"first", "last", "random", "min", "max"})
_KEEPING = frozenset({"list", "reverse", "batch", "slice", "sort", "unique", "items", "dictsort", "default", "d",
                      "groupby", "map"})  # fmt: skip
_COMPARING = frozenset({"eq", "equalto", "==", "ne", "!=", "in", "sameas", "lt", "lessthan", "<", "le", "<=", "gt",
                        "greaterthan", ">", "ge", ">="})  # fmt: skip

Meaning = Literal["markup", "switch", "trigger"]


@dataclass(frozen=True, kw_only=True, order=True)
class Decision:
    """A place that holds the text of a message against a literal; ``line`` counts from 1."""

    line: int
    literal: str
    meaning: Meaning


class _Kind(IntFlag):
    """What an expression may hold of the conversation."""

    NOTHING = 0
    MESSAGES = 1  # messages, or one of them
    TEXT = 2
    PART = 4  # an element of a content that is a list: a mapping with a type
    WORDS = 8  # a list of texts


_SPOKEN = _Kind.TEXT | _Kind.PART | _Kind.WORDS
_ANY = _SPOKEN | _Kind.MESSAGES


class _Value(NamedTuple):
    kind: _Kind = _Kind.NOTHING
    texts: tuple[str, ...] = ()  # literals that the expression may be, or hold


_EMPTY = _Value()


def decisions(tree: nodes.Template) -> tuple[Decision, ...]:
    """Return every place where the words of a message decide, by line and literal."""
    return tuple(sorted(_Flow(tree).decisions()))


class _Flow:
    """The flow of messages through one tree, found by passes until nothing changes."""

    def __init__(self, tree: nodes.Template) -> None:
        # Popping the last child first and turning the list round gives children before parents, in source order.
        self._order: list[nodes.Node] = []
        self._assistant: set[int] = set()  # what is looked at only for messages of the assistant
        pending: list[tuple[nodes.Node, bool]] = [(tree, False)]
        while pending:
            node, own = pending.pop()
            self._order.append(node)
            if own:
                self._assistant.add(id(node))
            inner = own or (isinstance(node, nodes.If) and _asks_for_assistant(node.test))
            body = {id(child) for child in node.body} if isinstance(node, nodes.If) else ()
            pending.extend((child, inner if id(child) in body else own) for child in node.iter_child_nodes())
        self._order.reverse()
        self._values: dict[int, _Value] = {}
        self._names: dict[str, _Value] = {name: _Value(_Kind.MESSAGES) for name in _SOURCES}
        self._macros = {node.name: [arg.name for arg in node.args] for node in self._order if type(node) is nodes.Macro}
        # A loop's variable is bound as soon as what it runs over is known, before its body.
        self._loops = {id(node.iter): node.target for node in self._order if type(node) is nodes.For}
        self._found: dict[tuple[int, str], bool] = {}  # (line, literal): whether only the assistant's words decide
        self._changed = True
        self._tags = _written(tree)

    def decisions(self) -> Iterator[Decision]:
        for _ in range(ROUNDS):
            if not self._changed:
                break
            self._changed = False
            for node in self._order:
                value = self._value(node)
                self._values[id(node)] = value
                if id(node) in self._loops:
                    self._bind(self._loops[id(node)], _element(value))
        for (line, literal), own in self._found.items():
            yield Decision(line=line, literal=literal, meaning=self._meaning(literal, own=own))

    def _meaning(self, literal: str, *, own: bool) -> Meaning:
        stripped = literal.strip()
        if stripped in SWITCHES:
            return "switch"
        names = _tags(stripped)
        rest = _TAG.sub("", stripped)
        if (
            names
            and (not rest or (rest.isidentifier() and not stripped.endswith(rest)))
            and (own or names <= self._tags)
        ):
            return "markup"
        return "trigger"

    def _decide(self, node: nodes.Node, texts: Iterable[str], *, keys: bool = False) -> None:
        """Note that texts are held against the words of a message, or with ``keys`` perhaps the keys of a mapping."""
        for text in texts:
            if any(char.isalnum() for char in text) and not (keys and _IDENTIFIER.fullmatch(text)):
                place = (node.lineno, text)
                self._found[place] = self._found.get(place, True) and id(node) in self._assistant

    def _of(self, node: nodes.Node | None) -> _Value:
        return self._values.get(id(node), _EMPTY)

    def _bind(self, target: nodes.Node, value: _Value) -> None:
        if isinstance(target, nodes.Tuple):
            for item in target.items:
                self._bind(item, value)
            return
        name = target.name if isinstance(target, nodes.Name) else ""
        if isinstance(target, nodes.NSRef):
            name = f"{target.name}.{target.attr}"
        before = self._names.get(name, _EMPTY)
        after = _union([before, value])
        if after != before:
            self._names[name] = after
            self._changed = True

    def _value(self, node: nodes.Node) -> _Value:
        """Return what a node may hold, from what its children may."""
        rule = self._rules.get(type(node))
        if rule is not None:
            return rule(node)
        value = _union([self._of(child) for child in node.iter_child_nodes()])
        if isinstance(node, nodes.List | nodes.Tuple | nodes.Dict) and value.kind & _Kind.TEXT:
            return _Value(value.kind | _Kind.WORDS, value.texts)
        return value

    @functools.cached_property
    def _rules(self) -> Mapping[type[nodes.Node], Callable[[Any], _Value]]:
        """What each kind of node does; any other may hold what its children may."""
        return {
            nodes.Const: _constant,
            nodes.Name: lambda node: self._names.get(node.name, _EMPTY),
            nodes.Getattr: lambda node: self._member(node.node, node.attr),
            nodes.Getitem: self._item,
            nodes.Call: self._call,
            nodes.Filter: self._filter,
            nodes.Test: self._test,
            nodes.Compare: self._compare,
            nodes.Add: lambda node: _joined([self._of(node.left), self._of(node.right)]),
            nodes.Concat: lambda node: _joined([self._of(part) for part in node.nodes]),
            nodes.Mod: lambda node: _formatted([self._of(node.left), self._of(node.right)]),
            nodes.Not: lambda _: _EMPTY,
            nodes.Neg: lambda _: _EMPTY,
            nodes.TemplateData: lambda _: _EMPTY,
            nodes.CondExpr: lambda node: _union([self._of(node.expr1), self._of(node.expr2)]),
            nodes.Assign: self._assign,
            nodes.AssignBlock: self._assign_block,
            nodes.With: self._with,
        }

    def _assign(self, node: nodes.Assign) -> _Value:
        self._bind(node.target, self._of(node.node))
        call = node.node
        if isinstance(call, nodes.Call) and isinstance(node.target, nodes.Name):  # namespace(found=message.content)
            for keyword in call.kwargs:
                self._bind(nodes.NSRef(node.target.name, keyword.key), self._of(keyword.value))
        return _EMPTY

    def _assign_block(self, node: nodes.AssignBlock) -> _Value:
        self._bind(node.target, _formatted([self._of(child) for child in node.body]))
        return _EMPTY

    def _with(self, node: nodes.With) -> _Value:
        for target, source in zip(node.targets, node.values, strict=True):
            self._bind(target, self._of(source))
        return _EMPTY

    def _member(self, base: nodes.Node, key: str) -> _Value:
        """Return what a member of ``base`` may hold: ``message.content`` and ``part.text`` are text, roles are not."""
        held, found = self._of(base), _EMPTY
        if isinstance(base, nodes.Name):
            found = self._names.get(f"{base.name}.{key}", _EMPTY)
            if base.name == "loop" and key in ("previtem", "nextitem"):
                found = _Value(_Kind.MESSAGES)
        if key == "content" or (key in _TEXT_KEYS and held.kind):
            return _union([found, _Value(_Kind.TEXT)])
        return found

    def _item(self, node: nodes.Getitem) -> _Value:
        held, key = self._of(node.node), self._of(node.arg)
        if isinstance(node.arg, nodes.Slice):
            return held
        if key.kind & _SPOKEN:
            self._decide(node, held.texts)  # a table that is looked up by what was written
        if len(key.texts) == 1 and not key.kind:
            found = self._member(node.node, key.texts[0])
            return _Value(found.kind, found.texts or held.texts)
        kind = held.kind & _Kind.MESSAGES
        if held.kind & _Kind.WORDS:
            kind |= _Kind.TEXT
        elif held.kind & (_Kind.TEXT | _Kind.PART):
            kind |= _Kind.TEXT | _Kind.PART
        return _Value(kind, held.texts)

    def _call(self, node: nodes.Call) -> _Value:
        given = [self._of(arg) for arg in (*node.args, *(keyword.value for keyword in node.kwargs))]
        together = _union(given)
        if isinstance(node.node, nodes.Getattr):
            return self._method(node, node.node.node, node.node.attr, together)
        if isinstance(node.node, nodes.Name) and node.node.name in self._macros:
            names = self._macros[node.node.name]
            for name, value in zip(names, given[: len(node.args)], strict=False):
                self._bind(nodes.Name(name, "param"), value)
            for keyword in node.kwargs:
                self._bind(nodes.Name(keyword.key, "param"), self._of(keyword.value))
            return _Value(_Kind.TEXT) if together.kind else _EMPTY
        keys = tuple(keyword.key for keyword in node.kwargs)
        return _union([together, _Value(texts=keys)])

    def _method(self, node: nodes.Call, base: nodes.Node, method: str, given: _Value) -> _Value:
        held = self._of(base)
        if given.kind & _SPOKEN and (method in _DECIDING or method == "get"):
            self._decide(node, held.texts)  # 'a phrase'.startswith(message.content), {'a phrase': 1}.get(…)
        if method == "get" and node.args and len(keys := self._of(node.args[0]).texts) == 1:
            return _union([self._member(base, keys[0]), *(self._of(other) for other in node.args[1:])])
        if method in ("items", "values"):
            return _Value(held.kind | _Kind.WORDS, held.texts) if held.kind else held
        if held.kind & _SPOKEN:
            if method in _DECIDING | _CUTTING | _REPLACING:
                # What it is replaced by, and how often, comes after what is looked for.
                self._decide(node, self._of(node.args[0]).texts if node.args else given.texts)
            if method in _DECIDING:
                return _EMPTY
            return _Value(_Kind.TEXT | _Kind.WORDS if method in _CUTTING else _Kind.TEXT)
        return _formatted([held, given])

    def _filter(self, node: nodes.Filter) -> _Value:
        held = self._of(node.node)
        arguments = [self._of(arg) for arg in (*(node.args or ()), *(pair.value for pair in node.kwargs or ()))]
        given = _union(arguments)
        if node.name in _NUMBERS:
            return _EMPTY
        if node.name in _CHOOSING:
            return self._choice(node, held, arguments)
        if node.name == "map":
            attribute = next((pair.value for pair in node.kwargs or () if pair.key == "attribute"), None)
            keys = self._of(attribute).texts
            if any(key.rpartition(".")[2] in _TEXT_KEYS for key in keys):
                return _Value(_Kind.TEXT | _Kind.WORDS)
        if node.name == "replace" and held.kind & _SPOKEN:
            self._decide(node, arguments[0].texts if arguments else ())
        if node.name in _PICKING:
            return _Value(_element(held).kind if held.kind & _Kind.WORDS else held.kind, held.texts)
        if node.name in _KEEPING:
            kept = _union([held, given]) if node.name in ("default", "d") else held
            listed = node.name == "list" and held.kind & _Kind.TEXT
            return _Value(kept.kind | _Kind.WORDS, kept.texts) if listed else kept
        value = _joined([held, given])
        return _Value(_Kind.TEXT, value.texts) if value.kind else value

    def _choice(self, node: nodes.Filter, held: _Value, arguments: Sequence[_Value]) -> _Value:
        """Follow a filter that keeps the elements of which something holds: by a test, or by an attribute and one."""
        if node.name in ("selectattr", "rejectattr"):
            keys = arguments[0].texts if arguments else ()
            spoken = any(key.rpartition(".")[2] in _TEXT_KEYS for key in keys)
            compared = arguments[2:]
        else:
            spoken, compared = bool(held.kind & _SPOKEN), arguments[1:]
        if spoken:
            self._decide(node, _union(compared).texts)
        return held

    def _test(self, node: nodes.Test) -> _Value:
        held, given = self._of(node.node), _union([self._of(arg) for arg in node.args or ()])
        if node.name in _COMPARING:
            if held.kind & _SPOKEN:
                self._decide(node, given.texts)
            if given.kind & _SPOKEN:
                self._decide(node, held.texts, keys=node.name == "in" and bool(given.kind & _Kind.PART))
        return _EMPTY

    def _compare(self, node: nodes.Compare) -> _Value:
        left = self._of(node.expr)
        for operand in node.ops:
            right = self._of(operand.expr)
            if left.kind & _ANY:
                self._decide(node, right.texts)
            if right.kind & _ANY:
                # 'image' in part and 'tool_calls' in message ask for a key of a mapping.
                mapping = operand.op in ("in", "notin") and right.kind & (_Kind.PART | _Kind.MESSAGES)
                self._decide(node, left.texts, keys=bool(mapping))
            left = right
        return _EMPTY


def _asks_for_assistant(test: nodes.Node) -> bool:
    """Tell whether a condition holds only for messages of the assistant, as far as its literals tell."""
    roles = {node.value for node in walk(test) if isinstance(node, nodes.Const) and isinstance(node.value, str)}
    equal = any(
        operand.op == "eq" and isinstance(operand.expr, nodes.Const) and operand.expr.value in _OWN_ROLES
        for node in walk(test)
        if isinstance(node, nodes.Compare)
        for operand in node.ops
    )
    return equal and roles.isdisjoint(_OTHER_ROLES) and not any(isinstance(node, nodes.Or) for node in walk(test))


def _element(value: _Value) -> _Value:
    """Return what a loop over a value takes from it."""
    kind = value.kind & _Kind.MESSAGES
    if value.kind & _Kind.WORDS:
        kind |= _Kind.TEXT
    elif value.kind & (_Kind.TEXT | _Kind.PART):
        kind |= _Kind.PART
    return _Value(kind, value.texts)


def _constant(node: nodes.Const) -> _Value:
    return _Value(texts=(node.value[:LITERAL_LIMIT],)) if isinstance(node.value, str) else _EMPTY


def _formatted(values: Sequence[_Value]) -> _Value:
    """Return what values are when they are written into one text."""
    value = _union(values)
    return _Value(_Kind.TEXT, value.texts) if value.kind else value


def _union(values: Sequence[_Value]) -> _Value:
    if len(values) == 1:
        return values[0]
    kind, texts = _Kind.NOTHING, dict[str, None]()
    for value in values:
        kind |= value.kind
        texts.update(dict.fromkeys(value.texts))
    return _Value(kind, tuple(texts)[:TEXTS_LIMIT])


def _joined(values: Sequence[_Value]) -> _Value:
    """Return what values are when written one after the other: two literals are one, ``'tri' ~ 'gger'``."""
    if all(len(value.texts) == 1 and not value.kind for value in values):
        return _Value(texts=("".join(value.texts[0] for value in values)[:LITERAL_LIMIT],))
    return _union(values)


def _tags(text: str) -> frozenset[str]:
    return frozenset(match[1] or match[2] for match in _TAG.finditer(text))


def _written(tree: nodes.Template) -> frozenset[str]:
    """Return the names of the tags that a template writes, or may: those in text outside conditions and arguments."""
    found: set[str] = set()
    pending: list[nodes.Node] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.TemplateData):
            found |= _tags(node.data)
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            found |= _tags(node.value)
        if isinstance(node, nodes.Compare | nodes.Test):
            continue
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr):
            pending.append(node.node)
            continue
        pending.extend(node.iter_child_nodes())
    return frozenset(found)
