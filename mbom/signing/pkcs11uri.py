"""PKCS#11 URIs (RFC 7512): which key, on which token, through which library, and where its PIN is.

Attributes that say something of the library or the slot in other words than those below are refused, because a key
that is found without regard to them may be another one. A PIN inside the URI is refused too: command lines are there
for every user of a machine to see.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import unquote_to_bytes

from mbom.errors import UsageError

SCHEME = "pkcs11:"
URI_LIMIT = 4096  # characters; labels have 32, identifiers rarely more than 40 bytes

_TOKEN = ("token", "manufacturer", "serial", "model")
_PATH = (*_TOKEN, "object", "id", "type")
_QUERY = ("module-path", "pin-source")

# pk11-path and pk11-query characters of section 2.3, percent-encoded octets among them.
_VALUE = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, kw_only=True)
class TokenKey:
    """A private key on a token, as the caller named it; None where nothing was said.

    Attributes:
        text: the URI, which holds no secret.
        token: what the token says of itself, under ``token`` (its label), ``manufacturer``, ``serial`` and ``model``.
        label: the key's label.
        id: the key's identifier.
        module: the PKCS#11 library to load.
        pin_source: the file that holds the PIN.
    """

    text: str
    token: Mapping[str, str]
    label: str | None
    id: bytes | None
    module: Path | None
    pin_source: Path | None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI strictly.

        Raises:
            UsageError: when it is malformed, names no key, or holds an attribute that is doubled, unknown or a PIN.
        """
        if not text.startswith(SCHEME) or len(text) > URI_LIMIT:
            raise UsageError(f"not a PKCS#11 URI of at most {URI_LIMIT} characters")
        path, _, query = text.removeprefix(SCHEME).partition("?")
        if any(part.partition("=")[0] in ("pin-value", "x-pin-value") for part in re.split("[;&?]", text)):
            raise UsageError(
                "a PKCS#11 URI with its PIN inside, which other users can see in the list of processes; "
                "give the PIN with pin-source=file:/PATH, in MBOM_PKCS11_PIN or at the prompt"
            )
        said = _attributes(path, ";", _PATH) | _attributes(query, "&", _QUERY)
        if said.get("type", b"private") != b"private":
            raise UsageError("the PKCS#11 URI names an object that is no private key; leave its type out")
        if "object" not in said and "id" not in said:
            raise UsageError("the PKCS#11 URI names no key: add object=LABEL or id=%01, for instance")
        return cls(
            text=text,
            token={name: _text(name, said[name]) for name in _TOKEN if name in said},
            label=_text("object", said["object"]) if "object" in said else None,
            id=said.get("id"),
            module=_file("module-path", said["module-path"]) if "module-path" in said else None,
            pin_source=_file("pin-source", said["pin-source"]) if "pin-source" in said else None,
        )


def _attributes(part: str, separator: str, known: tuple[str, ...]) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for item in part.split(separator) if part else []:
        name, equals, value = item.partition("=")
        if not equals or _VALUE.fullmatch(value) is None:
            raise UsageError("the PKCS#11 URI is malformed: attributes are NAME=VALUE, other characters as %20")
        if name not in known:
            raise UsageError(f"the PKCS#11 URI has an attribute {name[:40]!r}; known here are {', '.join(known)}")
        if name in found:
            raise UsageError(f"the PKCS#11 URI has the attribute {name!r} twice")
        found[name] = unquote_to_bytes(value)
    return found


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"the PKCS#11 URI's {name!r} is not UTF-8") from error
    if not text or "\0" in text:
        raise UsageError(f"the PKCS#11 URI's {name!r} is empty or holds a zero character")
    return text


def _file(name: str, value: bytes) -> Path:
    """Return an absolute path, given as such or as a file URI; a command to run (``|``) is not taken."""
    text = _text(name, value)
    path = Path(text.removeprefix("file://") if text.startswith("file:///") else text.removeprefix("file:"))
    if not path.is_absolute():
        raise UsageError(f"the PKCS#11 URI's {name!r} is not an absolute path")
    return path
