"""A page as one HTML document that needs nothing else: no network, no script, one style sheet that its policy names.

Whatever an expression of a template gives is made printable, shortened and escaped, all by the environment and not by
the templates: none of them can forget it.
"""

import base64
import functools
import hashlib
import re
from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from mbom.quantities import counted
from mbom.report import figures
from mbom.report.blocks import Page

STYLE = "style.css"
_PATH = re.compile(r"[Mhvz0-9 -]*")
# Shapes that say what the colour of a mark says.
_SHAPES: Mapping[str, str] = {"good": "✓", "bad": "✕", "mind": "!", "plain": "·"}


def html(page: Page) -> bytes:
    """Return the page; the same page always gives the same bytes."""
    environment = _environment()
    style = environment.get_template(STYLE).render()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = environment.get_template("page.html").render(page=page, style_digest=f"sha256-{digest}")
    return f"{text}\n".encode()


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mbom.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalised,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=(),
    )
    environment.filters = {"length": len, "linkable": figures.linkable, "path": _path, "counted": counted,
                           "verbatim": _verbatim}  # fmt: skip
    environment.globals = {"shapes": _SHAPES}
    return environment


class _Own(str):
    """Text made here of letters that mean nothing to HTML, so that it is written as it is, however long."""

    __slots__ = ()

    def __html__(self) -> str:
        return self


def _finalised(value: object) -> object:
    """Make a text printable and short, unless a template or this module made it."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else figures.plain(value)


def _path(value: str) -> _Own:
    """Return the path of a drawing, which is longer than any text."""
    assert _PATH.fullmatch(value), value[:80]
    return _Own(value)


def _verbatim(value: str) -> str:
    """Return a line of a program's text with a space where else nothing would stand."""
    return value or " "
