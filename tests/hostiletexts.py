"""Texts that terminals, Markdown, HTML, SARIF or a forge would react to, and what readers of Markdown react to."""

import re

# What a name, a licence or a path of somebody else's could say.
HOSTILE = (
    "\n::error file=a,line=1::owned",
    "\r\n::set-output name=result::allowed",
    "%0A::error::owned",
    "##[stop-commands]x",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example/)",
    "![x](https://evil.example/pixel.png)",
    "https://evil.example/login",
    "www.evil.example",
    "@everyone",
    "#1",
    "acme/repo#1",
    "GH-1",
    "`code` ``more`` ```",
    "| a | b |",
    "- [ ] task",
    "1. item",
    "# heading",
    "<!-- mbom gate mbom.lock -->",
    "</details>",
    "\x1b[2J\x1b]8;;https://evil.example\x07",
    "\u202eevil",
    "a\u200bb\u2028c",
    "{0} {1}",
    "$\\frac{a}{b}$ **bold** _it_ ~~no~~ :smile:",
    "&lt;b&gt;",
    "\ud800",
    "x" * 5000,
)


def outside_of_code(line: str) -> str:
    """Remove code spans as CommonMark finds them: a run of backticks up to the next run of equal length."""
    outside, at = [], 0
    while at < len(line):
        run = re.match(r"`+", line[at:])
        if run is None:
            outside.append(line[at])
            at += 1
            continue
        fence = run[0]
        close = re.search(rf"(?<!`){fence}(?!`)", line[at + len(fence) :])
        if close is None:
            outside.append(fence)
            at += len(fence)
        else:
            at += len(fence) + close.end()
    return "".join(outside)
