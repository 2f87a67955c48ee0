"""The committed licence texts, and ways in which publishers copy one without changing a term."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "fixtures" / "licences"
KEYS = tuple(sorted(path.stem for path in FOLDER.glob("*.txt")))


def text(key: str) -> str:
    """Return a text as it is published."""
    return (FOLDER / f"{key}.txt").read_text(encoding="utf-8")


def reflowed(source: str) -> str:
    """Return a text with its paragraphs broken at 60 columns, that of the copyright apart."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", source)]
    folded = textwrap.TextWrapper(60, break_on_hyphens=False, break_long_words=False)
    return "\n\n".join(part if part.startswith("Copyright (c) 20") else folded.fill(part) for part in paragraphs)


def one_line_a_paragraph(source: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", source))


def curly(source: str) -> str:
    """Return a text with quotes and dashes as word processors set them."""
    return re.sub(r'"([^"]*)"', "“\\1”", source).replace("'", "’").replace(" - ", " – ")


def straight(source: str) -> str:
    return re.sub("[“”]", '"', source).replace("’", "'").replace("–", "-")


def markdown(source: str) -> str:
    """Return a text as a Markdown file: a heading, numbers in bold and escaped."""
    bold = re.sub(r"(?m)^(\s*)(\d{1,2}\.) (\S+)", r"\1**\2** *\3*", source)
    first, _, rest = bold.lstrip().partition("\n")
    return f"# {first}\n{rest}"


def with_copyright(source: str) -> str:
    return f"Copyright (c) 2026 Some Company, Inc. and contributors\n\n{source}"


COPIES: dict[str, Callable[[str], str]] = {
    "as published": str,
    "reflowed": reflowed,
    "one line a paragraph": one_line_a_paragraph,
    "with curly quotes": curly,
    "with straight quotes": straight,
    "as Markdown": markdown,
    "quoted": lambda source: "\n".join(f"> {line}" for line in source.split("\n")),
    "indented": lambda source: textwrap.indent(source, "      "),
    "with a copyright line": with_copyright,
    "with Windows line ends": lambda source: source.replace("\n", "\r\n"),
    "with a byte order mark": lambda source: "\ufeff" + source,
    "with no-break spaces": lambda source: source.replace(", ", ",\u00a0"),
    "in capitals": str.upper,
}
