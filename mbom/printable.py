"""Hostile text made safe to print: nothing in it moves a cursor, hides, or reorders what stands around it."""


def printable(text: str, *, keep: str = "") -> str:
    r"""Return ``text`` with everything escaped that is not printable, such as control and format characters.

    Every space but the ordinary one counts as such, and so does a lone surrogate. ``keep`` names exceptions, such as
    ``"\n"``.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() or char in keep else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
