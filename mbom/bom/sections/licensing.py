"""The licences in the BOM: declared, found in texts, what they restrict, and the texts with their digests."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from cyclonedx.spdx import fixup_id

from mbom.bom import identity
from mbom.bom.properties import properties
from mbom.facts.licences import Declared, LicenceText, Licensing, Match, Restriction
from mbom.facts.licences.table import Term, table
from mbom.facts.places import Place
from mbom.facts.reading import Facts
from mbom.inventory.findings import plain
from mbom.inventory.record import Inventory
from mbom.strictjson import Json

_PART = r"(?:[\w.~:/@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"  # of an address: unreserved, delimiters, percent-encoded
_LINK = re.compile(rf"https?://[A-Za-z0-9.-]+(?::[0-9]{{1,5}})?(?:/{_PART})?(?:\?{_PART})?(?:#{_PART})?", re.ASCII)
_HOW = {"exact": "", "added": ", with other text", "altered": ", another version or altered"}


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A property of the model without its prefix, and where its value was read; None for what follows from others."""

    name: str
    value: str
    place: Place | None


def part(inventory: Inventory, facts: Facts) -> dict[str, Json]:
    """Return what the model component says of licences, its properties apart.

    ``licenses`` are the declared ones: by SPDX id where there is one, else by name, with the link that the card gives.
    ``evidence`` holds those that texts show, and the external references lead to the texts of a repository.
    """
    licensing = facts.licensing
    found: dict[str, Json] = {}
    stated = [_declared(item, inventory, facts) for item in licensing.declared]
    if stated:
        found["licenses"] = stated
    shown = [_detected(text, match, inventory) for text in licensing.texts for match in text.matches]
    if shown:
        found["evidence"] = {"licenses": shown}
    addresses = [(identity.hub_url(inventory.origin, "blob", text.file), text.sha256) for text in licensing.texts]
    references: list[Json] = [
        {"type": "license", "url": url, "hashes": [{"alg": "SHA-256", "content": digest}]}
        for url, digest in addresses
        if url is not None
    ]
    if references:
        found["externalReferences"] = references
    return found


def claims(facts: Facts) -> Iterator[Claim]:
    """Yield the properties of the model that tell of its licences."""
    licensing, licence = facts.licensing, facts.licence
    declared = "none" if licence is None else ", ".join(licence.ids) or "unnamed"
    yield Claim(name="licence:declared", value=declared, place=licensing.places.get("licence:declared"))
    if licence is not None and licence.name:
        name = "licence:declared:name"
        yield Claim(name=name, value=licence.name, place=licensing.places.get(name))
    if licence is not None and licence.link:
        name = "licence:declared:link"
        yield Claim(name=name, value=licence.link, place=licensing.places.get(name))
    yield from _detected_claims(licensing)
    for item in licensing.restrictions:
        yield Claim(name="licence:restriction", value=restriction_line(item), place=item.place)
    for file, sentence in licensing.disagreements:
        yield Claim(name="licence:disagreement", value=plain(f"{file}: {sentence}"), place=Place(file=file))
    for wider in licensing.wider:
        value = f"{wider.base} is under {wider.licence}, whose {', '.join(wider.missing)} the card does not declare"
        yield Claim(name="licence:wider-than-base", value=plain(value), place=licensing.places.get("licence:declared"))


def restriction_line(item: Restriction) -> str:
    """Return a restriction in one line: kind, value, scope, the licence that has it, and where it was read."""
    place = f" {item.place}" if item.place is not None else ""
    source = f"{item.licence}, {item.basis}{place}" if item.licence is not None else item.basis
    return plain(f"{_term_line(item)} [{source}]")


def _detected_claims(licensing: Licensing) -> Iterator[Claim]:
    """Yield a line for each text: what it holds, how faithfully, its name and its digest."""
    name = "licence:detected"
    for text in licensing.texts:
        end = f"{text.file} sha256:{text.sha256}"
        for match in text.matches:
            place = Place(file=text.file, line=match.line)
            yield Claim(name=name, value=plain(f"{match.key} {match.how} {end}"), place=place)
        if not text.matches:
            word = "unknown" if text.problem is None else "unread"
            yield Claim(name=name, value=plain(f"{word} {end}"), place=Place(file=text.file))
    if not licensing.texts:
        yield Claim(name=name, value="none", place=None)


def _declared(item: Declared, inventory: Inventory, facts: Facts) -> Json:
    licence = facts.licence
    assert licence is not None  # it is where the item is from
    spdx = fixup_id(item.label) if item.label in licence.ids else None
    url = _declared_url(inventory, licence.link) if len(licence.ids) < 2 else None  # else it is unclear whose it is
    pairs = [("licence:key", key) for key in item.keys]
    pairs += [("licence:restriction", _term_line(term)) for term in item.terms]
    found: dict[str, Json] = {"id": spdx} if spdx else {"name": item.label}
    found["acknowledgement"] = "declared"
    if url and not spdx:
        found["url"] = url
    if pairs:
        found["properties"] = properties(dict.fromkeys(pairs))
    return {"license": found}


def _detected(text: LicenceText, match: Match, inventory: Inventory) -> Json:
    entry = table().entries[match.key]
    pairs = [
        ("licence:file", text.file),
        ("licence:key", entry.key),
        ("licence:match", match.how),
        ("licence:ref", entry.spdx),
        ("licence:sha256", text.sha256),
        *(("licence:restriction", _term_line(term)) for term, _ in match.stated),
    ]
    listed = match.how == "exact" and not entry.spdx.startswith("LicenseRef-")
    found: dict[str, Json] = {"id": entry.spdx} if listed else {"name": f"{entry.name}{_HOW[match.how]}"}
    found["url"] = identity.hub_url(inventory.origin, "blob", text.file) or entry.url
    found["properties"] = properties(dict.fromkeys(pairs))
    return {"license": found}


def _declared_url(inventory: Inventory, link: str | None) -> str | None:
    """Return an address for the card's ``license_link``, which is one or names a file of the repository."""
    if link is None:
        return None
    if any(file.name == link for file in inventory.files):
        return identity.hub_url(inventory.origin, "blob", link)
    return link if _LINK.fullmatch(link) else None


def _term_line(term: Term | Restriction) -> str:
    value = f" {term.value}" if term.value else ""
    return f"{term.kind}{value}: {term.scope}" if term.scope else f"{term.kind}{value}"
