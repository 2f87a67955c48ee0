"""Where a fact was read."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Place:
    """A place in a file of the checkpoint: a JSON pointer (RFC 6901) into a JSON file, or a line of a text, from 1.

    Both are None where the whole file is meant.
    """

    file: str
    pointer: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Return the place as people and reports write it: ``config.json#/num_hidden_layers``, ``README.md:3``."""
        if self.pointer is not None:
            return f"{self.file}#{self.pointer}"
        return self.file if self.line is None else f"{self.file}:{self.line}"
