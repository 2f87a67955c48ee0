"""Findings that one model has and the other has not."""

import re
from collections.abc import Mapping
from dataclasses import replace

from mbom.diff.facts.pairing import matched
from mbom.inventory import Finding, Inventory
from mbom.inventory.findings import ordered

# Where in a file something was seen; that it moved by some lines makes nothing new.
_LINES = re.compile(r"\blines? \d+(?:, \d+)*|(?<=\S):\d+\b")
_DIGITS = re.compile(r"\d+")


def findings(
    old: Inventory, new: Inventory, moved: Mapping[str, str]
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Return the findings that only the new inventory has, and those that only the old one has.

    Findings are equal by id, path and detail; then those whose lines alone moved, one for one, so that a second one of
    a kind is new; and those whose file has another name and the same bytes.
    """
    back = {became: name for name, became in moved.items()}
    _, gone, came = matched(old.findings, new.findings, lambda found: found)

    def at_home(found: Finding) -> tuple[str, str, str]:
        return _unplaced(replace(found, path=back.get(found.path, found.path)))

    _, gone, came = matched(gone, came, _unplaced, at_home)
    return ordered(came), ordered(gone)


def _unplaced(found: Finding) -> tuple[str, str, str]:
    """Return a finding without its lines, of which there are as many as before."""
    return found.id, found.path, _LINES.sub(lambda lines: _DIGITS.sub("#", lines[0]), found.detail)
