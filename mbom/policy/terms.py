"""Licences as policies name them: ids, and expressions over ids."""

import difflib
import functools
from collections.abc import Iterable, Sequence
from typing import Any

from license_expression import ExpressionError, LicenseSymbol, LicenseWithExceptionSymbol, Licensing

from mbom.bom.format import schema
from mbom.facts.licences.table import table

EXPRESSION_LIMIT = 500  # characters; beyond it a licence is its own words
_WITH = " with "


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
    licence alone, so ``X WITH Y`` is allowed where ``X`` is; it is denied where either spelling is.

    Args:
        declared: an id, an expression, or words that are neither, which stand for themselves.
        allow: the only ones that are allowed; None for all.
        deny: those that are not.
    """
    allowed = None if allow is None else {name.casefold() for name in allow}
    return _refused(_parsed(declared), allowed, {name.casefold() for name in deny})


def _refused(node: Any, allowed: set[str] | None, denied: set[str]) -> str | None:  # noqa: ANN401  # the same
    if isinstance(node, str | LicenseSymbol | LicenseWithExceptionSymbol):
        spellings = _spellings(node)
        fits = denied.isdisjoint(spellings) and (allowed is None or not allowed.isdisjoint(spellings))
        return None if fits else str(node)
    results = [_refused(part, allowed, denied) for part in node.args]
    refusals = [name for name in results if name is not None]
    if node.operator.strip() == "OR" and len(refusals) < len(results):
        return None
    return refusals[0] if refusals else None


def _spellings(node: str | LicenseSymbol | LicenseWithExceptionSymbol) -> set[str]:
    """Return what a licence may be called in a list, in lower case."""
    if isinstance(node, LicenseWithExceptionSymbol):
        licence, exception = str(node.license_symbol.key), str(node.exception_symbol.key)
        return {licence.casefold(), f"{licence}{_WITH}{exception}".casefold()}
    return {str(node).casefold()}


def _parsed(declared: str) -> Any:  # noqa: ANN401  # the library has no types
    """Return the parsed expression; what is none stands for itself."""
    if len(declared) > EXPRESSION_LIMIT:
        return declared
    try:
        parsed = Licensing().parse(declared)
    except ExpressionError:
        return declared
    return declared if parsed is None else parsed
