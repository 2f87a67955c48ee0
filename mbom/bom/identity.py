"""How a checkpoint and its parts are named in a BOM; the builder writes these names and the checker expects them."""

import re
import uuid
from urllib.parse import quote

from packageurl import PackageURL

from mbom.facts.card import CARD
from mbom.inventory.record import DeclaredFile, Inventory
from mbom.source import Origin

HUB = "https://huggingface.co"
DIGEST_METHOD = "SHA-256 over RFC 8785 JSON of [{name, sha256, size}] of all files, sorted by name"

# What the hub accepts as the name of a repository.
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)

# Chosen once at random; every serial number of a BOM depends on it, so it never changes.
_NAMESPACE = uuid.UUID("6f0c2f6e-5c4e-4f1b-9d58-3a2f4a1f7c55")


def serial_number(model_digest: str) -> uuid.UUID:
    """Return the serial number of a model's BOM: the same model always has the same one."""
    return uuid.uuid5(_NAMESPACE, model_digest)


def group(origin: Origin) -> str | None:
    """Return the organisation of a repository; None for a folder."""
    return (origin.repo.rpartition("/")[0] or None) if origin.repo else None


def name(origin: Origin) -> str:
    """Return the name of the model without its organisation."""
    return origin.repo.rpartition("/")[2] if origin.repo else origin.name


def version(inventory: Inventory) -> str:
    """Return the commit, or for a folder, which has none, ``sha256:`` and the model digest."""
    return inventory.origin.revision or f"sha256:{inventory.digest}"


def purl(inventory: Inventory) -> PackageURL:
    """Return ``pkg:huggingface/org/name@commit``, or ``pkg:generic/name@sha256:digest`` for a folder.

    A folder may hold a copy of a repository, but nothing in it proves which, so none is named.
    """
    origin = inventory.origin
    kind = "huggingface" if origin.repo and origin.revision else "generic"
    return PackageURL(kind, group(origin) if kind == "huggingface" else None, name(origin), version(inventory))


def file_ref(path: str) -> str:
    """Return the bom-ref of a file of the checkpoint."""
    return f"file:{path}"


def hub_url(origin: Origin, kind: str, path: str = "") -> str | None:
    """Return the address of a file or folder of a repository at its commit; None for a folder.

    Args:
        origin: the checkpoint's.
        kind: the hub's word: ``tree``, ``blob`` or ``resolve``.
        path: the path inside the repository.
    """
    if not origin.repo or not origin.revision:
        return None
    return f"{HUB}/{quote(origin.repo)}/{kind}/{origin.revision}" + (f"/{quote(path)}" if path else "")


def references(inventory: Inventory) -> list[tuple[str, str, str | None]]:
    """Return type, address and SHA-256 of the external references of a repository at its commit; none for a folder."""
    origin = inventory.origin
    tree, card = hub_url(origin, "tree"), hub_url(origin, "blob", CARD)
    if tree is None or card is None:
        return []
    cards = [("model-card", card, file.sha256) for file in inventory.files if file.name == CARD]
    return [("distribution", tree, None), ("vcs", f"{HUB}/{quote(origin.repo or '')}", None), *cards]


def declared_line(file: DeclaredFile) -> str:
    """Return what is said of a file that was left out: its advertised digest, size in bytes and name.

    The digest is that of the content, or git's id where the hub advertises nothing else.
    """
    digest = f"sha256:{file.sha256}" if file.sha256 else f"git:{file.git_blob}" if file.git_blob else "-"
    return f"{digest} {file.size} {file.name}"
