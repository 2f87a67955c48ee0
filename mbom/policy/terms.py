"""Licences as policies name them: ids, and expressions over ids."""

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Sequence

from mbom.bom.format import schema
from mbom.errors import FormatError
from mbom.facts.licences.table import table

EXPRESSION_LIMIT = 500  # characters; beyond it a licence is its own words
DEPTH_LIMIT = 32  # brackets; an honest expression has two
_WITH = " with "

_CHARACTERS = re.compile(r"[A-Za-z0-9.+: ()-]*")
_TOKEN = re.compile(r"[()]|[A-Za-z0-9.+:-]+")
_END = ""
_RESERVED = ("(", ")", "AND", "OR", "WITH", _END)


def unknown_licences(names: Iterable[str]) -> list[tuple[str, str | None]]:
    """Return each id with None where a BOM can name it, else with the nearest one that it can, or an empty text."""
    known = _known()
    found: list[tuple[str, str | None]] = []
    for name in names:
        parts = name.casefold().split(_WITH)
        if all(part in known for part in parts):
            found.append((name, None))
        else:
            near = difflib.get_close_matches(parts[0], known, n=1, cutoff=0.7)
            found.append((name, known[near[0]] if near else ""))
    return found


@functools.cache
def _known() -> dict[str, str]:
    """Return every id of the SPDX list and of the table of texts, by its lower-case form."""
    ids = [*schema.load("spdx.SNAPSHOT.schema.json")["enum"], *(entry.spdx for entry in table().entries.values())]
    return {str(name).casefold(): str(name) for name in ids}


def refused(declared: str, allow: Sequence[str] | None, deny: Sequence[str]) -> str | None:
    """Return the licence of an expression that is not allowed; None where the expression is.

    Of licences that OR joins, one suffices; of those that AND joins, each counts. An exception grants more than its
    licence alone, so ``X WITH Y`` is allowed where ``X`` is; it is denied where either spelling is. A ``Y`` that is no
    exception of the SPDX list may take something away, and has to be allowed by name.

    Args:
        declared: an id, an expression, or words that are neither, which stand for themselves.
        allow: the only ones that are allowed; None for all.
        deny: those that are not.
    """
    allowed = None if allow is None else {name.casefold() for name in allow}
    denied = {name.casefold() for name in deny}

    def judge(*spellings: str) -> str | None:
        folded = {spelling.casefold() for spelling in spellings}
        counted = folded if len(spellings) == 1 or _is_exception(spellings[0]) else {spellings[0].casefold()}
        fits = denied.isdisjoint(folded) and (allowed is None or not allowed.isdisjoint(counted))
        return None if fits else spellings[0]

    try:
        return _judged(declared, judge)
    except FormatError:  # words; one that is denied is denied among them too
        return next((word for word in _TOKEN.findall(declared) if word.casefold() in denied), judge(declared))


def _is_exception(spelling: str) -> bool:
    """Tell whether what stands behind WITH is an exception of the SPDX list, whose names say that they are one."""
    name = spelling.casefold().partition(_WITH)[2]
    return name in _known() and ("exception" in name or name == "linux-syscall-note") and "-with-" not in name


def is_known(declared: str) -> bool:
    """Tell whether a declared licence is an id, or an expression of ids, that the SPDX list or mbom's table has."""
    known = _known()

    def judge(*spellings: str) -> str | None:
        return None if all(part in known for part in spellings[0].casefold().split(_WITH)) else spellings[0]

    try:
        return _judged(declared, judge, every=True) is None
    except FormatError:
        return False


def _judged(declared: str, judge: Callable[..., str | None], *, every: bool = False) -> str | None:
    """Return the licence of an expression that is refused; with ``every``, of OR too each one counts.

    Raises:
        FormatError: when it is no expression.
    """
    if len(declared) > EXPRESSION_LIMIT or _CHARACTERS.fullmatch(declared) is None:
        raise FormatError("no expression has this length or these characters")
    return _Expression(_TOKEN.findall(declared), judge, every=every).whole()


class _Expression:
    """A licence expression, judged while it is read: SPDX specification 2.3, annex D; operators in any letter case."""

    def __init__(self, tokens: list[str], judge: Callable[..., str | None], *, every: bool) -> None:
        self._every = every
        self._tokens = [*tokens, _END]
        self._judge = judge
        self._at = 0
        self._depth = 0

    def whole(self) -> str | None:
        """Return the licence that refuses it; None where nothing does.

        Raises:
            FormatError: when it is no expression.
        """
        found = self._either()
        self._take(_END)
        return found

    def _either(self) -> str | None:
        found = [self._both()]
        while self._is("OR"):
            found.append(self._both())
        refusals = [name for name in found if name is not None]
        if not self._every and len(refusals) < len(found):
            return None
        return refusals[0] if refusals else None

    def _both(self) -> str | None:
        found = [self._one()]
        while self._is("AND"):
            found.append(self._one())
        return next((name for name in found if name is not None), None)

    def _one(self) -> str | None:
        if self._is("("):
            self._depth += 1
            if self._depth > DEPTH_LIMIT:
                raise FormatError("the expression nests too deeply")
            found = self._either()
            self._take(")")
            self._depth -= 1
            return found
        licence = self._name()
        if not self._is("WITH"):
            return self._judge(licence)
        return self._judge(f"{licence} WITH {self._name()}", licence)

    def _name(self) -> str:
        token = self._tokens[self._at]
        if token.upper() in _RESERVED:
            raise FormatError(f"{token!r} stands where a licence belongs")
        self._at += 1
        return token

    def _is(self, token: str) -> bool:
        """Tell whether a token comes next, and step over it."""
        found = self._tokens[self._at].upper() == token
        self._at += found
        return found

    def _take(self, token: str) -> None:
        if not self._is(token):
            raise FormatError(f"{self._tokens[self._at]!r} stands where {token or 'the end'} belongs")
