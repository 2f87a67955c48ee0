"""The licences of a checkpoint: as its card declares them, as its texts show, and what both restrict."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mbom.facts.card import CARD, Card
from mbom.facts.licences.comparison import Wider, disagreements, wider
from mbom.facts.licences.declared import Declared, declared, is_open
from mbom.facts.licences.restrictions import Restriction, restrictions
from mbom.facts.licences.table import table
from mbom.facts.licences.texts import LicenceText, linked_file, read_texts
from mbom.facts.places import Place
from mbom.inventory.findings import finding
from mbom.inventory.record import Finding, Inventory

_PROPERTIES = {
    "license": "licence:declared",
    "license_name": "licence:declared:name",
    "license_link": "licence:declared:link",
}
_NOT_LICENCES = (
    "notice",
    "copyright",
    "patents",
)  # names of files that hold attributions: to find no licence is no lack


@dataclass(frozen=True, kw_only=True)
class Licensing:
    """What a checkpoint's licences are.

    Attributes:
        declared: what the card declares, in its order.
        texts: every licence and policy file, by name.
        restrictions: by kind, licence and place.
        disagreements: file and sentence, where texts and card differ.
        wider: base models whose restrictions the card drops.
        places: where the card declares a licence, its name and its link, by the name of the BOM's property.
    """

    declared: tuple[Declared, ...] = ()
    texts: tuple[LicenceText, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    disagreements: tuple[tuple[str, str], ...] = ()
    wider: tuple[Wider, ...] = ()
    places: Mapping[str, Place] = field(default_factory=dict, compare=False)

    def keys(self, file: str) -> tuple[str, ...]:
        """Return the keys of the licences and policies that were found in a file."""
        return next((text.keys for text in self.texts if text.file == file), ())

    @property
    def found(self) -> dict[str, tuple[str, ...]]:
        """The SPDX ids of the licences in each file; a text that is not that of the licence has a name of its own."""
        return {
            text.file: tuple(
                table().entries[match.key].spdx if match.how == "exact" else f"{match.key} ({match.how})"
                for match in text.matches
            )
            for text in self.texts
        }

    def is_open(self, file: str) -> bool | None:
        """Tell whether a file holds open licences and nothing else; None where somebody must read it to know.

        False as soon as one licence in it is not open; an altered text, or one with words beside it, is never open.
        """
        matches = next((text.matches for text in self.texts if text.file == file), ())
        if any(is_open(match.key) is False for match in matches):
            return False
        return True if matches and all(match.how == "exact" for match in matches) else None


def read_licensing(
    inventory: Inventory, side: Mapping[str, bytes], card: Card, *, gated: str | None = None
) -> tuple[Licensing, tuple[Finding, ...]]:
    """Read the licences of a checkpoint.

    Args:
        inventory: its files.
        side: the bytes of small ones by name, those with the role of a licence or a policy among them.
        card: as read.
        gated: what the hub says of access, such as ``auto`` or ``manual``; None where it is open or nobody asked.

    Returns:
        What is known, and findings: ``licence-undeclared``, ``licence-text-unknown``, ``licence-text-unread`` and
        ``licence-link-missing`` (notes); ``licence-text-altered``, ``licence-disagrees`` and
        ``licence-wider-than-base`` (warnings).
    """
    linked = linked_file(card.licence, inventory)
    texts = read_texts(inventory, side, linked)
    detected = [(text.file, key) for text in texts for key in text.keys if table().entries[key].kind == "licence"]
    stated = declared(card.licence, tuple(key for file, key in detected if file == linked))
    places = {_PROPERTIES[name]: place for name, place in card.places.items() if name in _PROPERTIES}
    at = places.get("licence:declared") or places.get("licence:declared:name") or Place(file=CARD)
    found = Licensing(
        declared=stated,
        texts=texts,
        restrictions=restrictions(stated, texts, card=at, gated=gated),
        disagreements=tuple(disagreements(stated, detected)),
        wider=tuple(wider(stated, card.base_models)),
        places=places,
    )
    findings = [*_card_findings(found), *(item for text in texts for item in _text_findings(text))]
    if card.licence is None and card != Card():  # of no card at all, the card's own findings tell
        findings.append(finding("licence-undeclared", CARD, "the card declares no licence that can be read"))
    if linked is not None and all(file.name != linked for file in inventory.files):
        detail = f"license_link means {linked}, which is no file of the checkpoint"
        findings.append(finding("licence-link-missing", CARD, detail))
    return found, tuple(findings)


def _card_findings(found: Licensing) -> Iterator[Finding]:
    for file, sentence in found.disagreements:
        yield finding("licence-disagrees", file, sentence)
    labels = ", ".join(item.label for item in found.declared)
    for item in found.wider:
        missing = ", ".join(item.missing)
        detail = f"the card declares {labels}, which leaves out what the licence of {item.base} demands: {missing}"
        yield finding("licence-wider-than-base", CARD, f"{detail} ({table().entries[item.licence].name})")


def _text_findings(text: LicenceText) -> Iterator[Finding]:
    base = text.file.rpartition("/")[2].casefold()
    if text.problem is not None:
        yield finding("licence-text-unread", text.file, text.problem)
    elif not text.matches and not base.startswith(_NOT_LICENCES):
        yield finding("licence-text-unknown", text.file, "it holds no licence or policy that the table knows")
    for match in text.matches:
        name = table().entries[match.key].name
        if match.how == "altered":
            detail = f"it has the marks of the {name} and other words: another version, or altered"
            yield finding("licence-text-altered", text.file, detail)
        elif match.how == "added":
            detail = f"it holds the {name} word for word, and {text.other_words} words that are not part of it"
            yield finding("licence-text-altered", text.file, detail)
