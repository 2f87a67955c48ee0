"""Reading a policy: every problem with its line and column, what was found and what is allowed."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from mbom.facts.plainyaml import Node
from mbom.policy.decision import Place
from mbom.printable import printable

PROBLEMS_LIMIT = 100  # more than anybody mends before reading again
SHOWN = 80  # characters of a value that a sentence quotes
LISTED = 16  # allowed words that a sentence spells out

Scalar = None | bool | int | float | str

# YAML 1.2.2, section 10.3.2, the core schema.
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,400}|0o[0-7]{1,400}|0x[0-9A-Fa-f]{1,400}")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]{1,400}|[0-9]{1,400}(?:\.[0-9]{0,400})?)(?:[eE][-+]?[0-9]{1,400})?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong with a policy: where, from line and column 1, and what, as a sentence for people."""

    file: str
    line: int
    column: int
    sentence: str

    def __str__(self) -> str:
        """Return the problem as compilers write theirs."""
        return f"{self.file}:{self.line}:{self.column}: {self.sentence}"


class Reading:
    """Collects the problems of one file, so that all of them can be told at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def place(self, node: Node) -> Place:
        """Return the line of a node."""
        return Place(file=self.file, line=node.line)

    def problem(
        self, at: Node | tuple[int, int], sentence: str, *, near: tuple[object, Collection[str]] | None = None
    ) -> None:
        """Note a problem; ``near`` is a word that is none of those allowed, which may be a slip for one of them."""
        line, column = (at.line, at.column) if isinstance(at, Node) else at
        if near is not None:
            sentence += _suggestion(*near)
        if len(self.problems) < PROBLEMS_LIMIT:
            self.problems.append(Problem(file=self.file, line=line, column=column, sentence=printable(sentence)))

    def mapping(self, node: Node, what: str, known: Collection[str]) -> dict[str, Node]:
        """Return the members of a mapping that are known; others are problems, and so is anything else than one."""
        if not isinstance(node.value, dict) or node.keys is None:
            self.problem(node, f"{what} is {shown(node)}; it is a mapping with some of {listed(known)}")
            return {}
        for name in node.value.keys() - set(known):
            self.problem(
                node.keys[name],
                f"{what} has the unknown key {_quoted(name)}; allowed are {listed(known)}",
                near=(name, known),
            )
        return {name: item for name, item in node.value.items() if name in known}

    def items(self, node: Node, what: str, *, limit: int) -> Sequence[Node]:
        """Return the entries of a list; anything else is a problem."""
        if not isinstance(node.value, list):
            self.problem(node, f"{what} is {shown(node)}; it is a list, such as [one, two]")
            return ()
        if len(node.value) > limit:
            self.problem(node, f"{what} has {len(node.value)} entries; at most {limit} are allowed")
            return ()
        return node.value

    def each(
        self, node: Node, what: str, read: Callable[[Node, str, "Reading"], str | None], *, limit: int
    ) -> tuple[str, ...] | None:
        """Read a list of texts that are all different; None where anything in it is wrong."""
        before = len(self.problems)
        found: list[str] = []
        for item in self.items(node, what, limit=limit):
            value = read(item, f"an entry of {what}", self)
            if value in found:
                self.problem(item, f"{what} has {shown(item)} twice")
            if value is not None:
                found.append(value)
        return tuple(found) if len(self.problems) == before else None


def core(node: Node) -> Scalar:
    """Return what a node is by YAML's core schema; a list or a mapping is None, as nothing is."""
    text = node.value
    if not isinstance(text, str) or node.is_null:
        return None
    if not node.plain:
        return text
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 8 if text.startswith("0o") else 16 if text.startswith("0x") else 10)
    if _FLOAT.fullmatch(text) or _SPECIAL.fullmatch(text):
        return float(text.replace(".", "", 1) if _SPECIAL.fullmatch(text) else text)
    return text


def shown(node: Node) -> str:
    """Return what a node holds, in words for people."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.is_null:
        return "nothing"
    value = core(node)
    return _quoted(node.value) if isinstance(value, str) else node.value[:SHOWN]


def listed(words: Iterable[str]) -> str:
    """Return words as a phrase, shortened where there are many."""
    words = list(words)
    more = f" and {len(words) - LISTED} more" if len(words) > LISTED else ""
    return ", ".join(words[:LISTED]) + more


def _quoted(text: str) -> str:
    return repr(text if len(text) <= SHOWN else text[: SHOWN - 1] + "…")


def _suggestion(found: object, known: Collection[str]) -> str:
    if not isinstance(found, str) or len(found) > SHOWN:
        return ""
    folded = {word.casefold(): word for word in known}
    near = difflib.get_close_matches(found.casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[near[0]]}?" if near else ""
