"""What a BOM says on the word of whoever made it, and no checkpoint can confirm.

It is given to ``build``, and read back by ``verify``, which builds the document again.
"""

import re
from dataclasses import dataclass

from mbom.errors import UsageError
from mbom.strictjson import Json

NAME_LIMIT = 200  # characters of an author's name or address

_AUTHOR = re.compile(r"(?P<name>[^<>]*[^<>\s])(?:\s+<(?P<email>[^<>@\s]+@[^<>@\s]+)>)?")


@dataclass(frozen=True, kw_only=True)
class Author:
    """Who stands behind the BOM: a person or an organisation."""

    name: str
    email: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Author":
        """Read ``NAME`` or ``NAME <EMAIL>``.

        Raises:
            UsageError: for anything else.
        """
        match = _AUTHOR.fullmatch(text.strip())
        if match is None or not text.isprintable() or len(text) > NAME_LIMIT:
            raise UsageError(
                f"the author is {text[:NAME_LIMIT]!r}, it must be NAME or NAME <EMAIL>, "
                f"up to {NAME_LIMIT} printable characters"
            )
        return cls(name=match["name"], email=match["email"])

    def to_dict(self) -> dict[str, Json]:
        """Return the author as CycloneDX's ``organizationalContact``."""
        contact: dict[str, Json] = {"name": self.name}
        if self.email is not None:
            contact["email"] = self.email
        return contact


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was given to ``build`` besides the checkpoint; None where nothing was."""

    author: Author | None = None

    @classmethod
    def read(cls, document: dict[str, Json]) -> "Given":
        """Read back what a BOM was given, where it stands as ``build`` writes it; other things count as not given.

        Whatever differs from ``build``'s way of writing then differs from the document that is built again.
        """
        metadata = document.get("metadata")
        authors = metadata.get("authors") if isinstance(metadata, dict) else None
        author = authors[0] if isinstance(authors, list) and len(authors) == 1 else None
        name, email = (author.get("name"), author.get("email")) if isinstance(author, dict) else (None, None)
        return cls(
            author=Author(name=name, email=email if isinstance(email, str) else None) if isinstance(name, str) else None
        )
