"""Write the tables of bom.md that repeat tables of the code: ``python -m docs.tables``, after those have changed."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mbom.bom.format import problems
from mbom.facts.licences.vocabulary import RESTRICTIONS
from mbom.inventory import findings

PAGE = Path(__file__).with_name("bom.md")

_TABLE = re.compile(r"<!-- table: (?P<name>\w+) -->\n(?:\n(?:\|.*\n)+)?")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table in Markdown."""
    lines = [[*head], ["---" for _ in head], *rows]
    return "".join(f"|{'|'.join(f' {cell} ' if cell != '---' else cell for cell in line)}|\n" for line in lines)


def of_kinds(kinds: Mapping[str, findings.Kind | problems.Kind]) -> str:
    """Return the table of ids with severity and meaning."""
    rows = ((f"`{name}`", kind.severity, kind.meaning) for name, kind in sorted(kinds.items()))
    return table(("id", "severity", "meaning"), rows)


def filled(page: str) -> str:
    """Return the page with its tables as the code has them."""
    tables = {
        "findings": of_kinds(findings.KINDS),
        "problems": of_kinds(problems.KINDS),
        "restrictions": table(
            ("kind", "meaning"), ((f"`{k}`", meaning) for k, meaning in sorted(RESTRICTIONS.items()))
        ),
    }
    return _TABLE.sub(lambda match: f"<!-- table: {match['name']} -->\n\n{tables[match['name']]}", page)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
