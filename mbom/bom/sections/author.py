"""Who stands behind a BOM, on the word of whoever made it."""

import re
from dataclasses import dataclass

from mbom.errors import UsageError
from mbom.strictjson import Json

REF = "author"
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
        contact: dict[str, Json] = {"bom-ref": REF, "name": self.name}
        if self.email is not None:
            contact["email"] = self.email
        return contact

    @classmethod
    def read(cls, document: Json) -> "Author | None":
        """Read back the author of a BOM as ``build`` writes one; None for anything else."""
        metadata = document.get("metadata") if isinstance(document, dict) else None
        listed = metadata.get("authors") if isinstance(metadata, dict) else None
        contact = listed[0] if isinstance(listed, list) and len(listed) == 1 else None
        name, email = (contact.get("name"), contact.get("email")) if isinstance(contact, dict) else (None, None)
        if not isinstance(name, str):
            return None
        return cls(name=name, email=email if isinstance(email, str) else None)
