"""The review as SARIF 2.1.0 (OASIS), for the places where a forge lists alerts.

A rule is a reason's public id, and a result is a reason of one model. Its fingerprint is made of the model, the id and
the path alone, so that an alert stays the same alert while digests and lines move.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from urllib.parse import quote

from mbom import __version__
from mbom.gate.gated import Gated, Review
from mbom.gate.outputs import telling
from mbom.gate.reasons import meaning
from mbom.policy.decision import Place, Reason
from mbom.printable import printable
from mbom.strictjson import Json

SCHEMA_URI = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
SITE = "https://github.com/mbom/mbom"
FINGERPRINT = "mbomGate/v1"
TEXT_LIMIT = 4000  # characters of a message
LIMIT = 5000  # results: what GitHub shows of a run

_LEVELS = {"refuse": "error", "missing": "error", "waived": "note"}
_COULD_NOT = "Something that was asked for could not be checked."
_TRY_AGAIN = "Make the evidence available, and try again."


def sarif(review: Review) -> dict[str, Json]:
    """Return the log."""
    found = [(item, reason) for item in review.gated for reason in _reasons(item)]
    rules = sorted({reason.id for _, reason in found})
    seen: Counter[tuple[str, str, str | None]] = Counter()
    results: list[Json] = []
    for item, reason in found[:LIMIT]:
        key = (item.model, reason.id, reason.path)
        results.append(_result(item, reason, review, rules.index(reason.id), seen[key]))
        seen[key] += 1
    told = [*review.notes, *([f"{len(found) - LIMIT} more results are left out"] if len(found) > LIMIT else [])]
    run: dict[str, Json] = {
        "tool": {
            "driver": {
                "name": "mbom",
                "version": __version__,
                "semanticVersion": __version__,
                "informationUri": SITE,
                "rules": [_rule(kind, [reason for _, reason in found if reason.id == kind]) for kind in rules],
            }
        },
        "automationDetails": {"id": "mbom-gate/"},
        "columnKind": "unicodeCodePoints",
        "invocations": [
            {
                "executionSuccessful": review.outcome != "incomplete",
                "exitCode": review.exit_code,
                "toolExecutionNotifications": [{"level": "note", "message": {"text": text(note)}} for note in told],
            }
        ],
        "results": results,
    }
    return {"$schema": SCHEMA_URI, "version": "2.1.0", "runs": [run]}


def _reasons(item: Gated) -> Iterator[Reason]:
    """Yield what is to be mended, or was waived; a note is no alert."""
    yield from (reason for reason in telling.told(item) if reason.outcome != "note")
    unclear = item.decision.could_not_check
    if unclear is not None:
        yield Reason(id=telling.COULD_NOT_CHECK, outcome="missing", sentence=unclear, action=_TRY_AGAIN)


def _rule(kind: str, reasons: Sequence[Reason]) -> Json:
    told = _COULD_NOT if kind == telling.COULD_NOT_CHECK else meaning(kind)
    actions = sorted({reason.action for reason in reasons if reason.action})
    # Only one action is help on the rule; several are of single models, and stand in their messages.
    advice = f"{told} What to do: {text(actions[0])}" if len(actions) == 1 else told
    return {
        "id": kind,
        "shortDescription": {"text": told},
        "fullDescription": {"text": told},
        "help": {"text": advice},
        "helpUri": f"{SITE}#gate",
        "defaultConfiguration": {"level": "error"},
        "properties": {"tags": ["supply-chain", "model"]},
    }


def _result(item: Gated, reason: Reason, review: Review, rule: int, number: int) -> Json:
    sentence = f"{item.model}: {reason.sentence}{telling.waived(reason)}"
    if reason.action and reason.refuses:
        sentence += f"\n{reason.action}"
    place = Place(file=_file(item, review), line=item.line or 1)
    told: dict[str, Json] = {
        "ruleId": reason.id,
        "ruleIndex": rule,
        "level": _LEVELS[reason.outcome],
        "message": {"text": text(sentence)},
        "baselineState": "new" if reason.is_new else "unchanged",
        "locations": [_location(place)],
        "partialFingerprints": {FINGERPRINT: fingerprint(item.model, reason, number)},
        "properties": {"model": printable(item.model), "outcome": reason.outcome, "new": reason.is_new},
    }
    if reason.place is not None:
        told["relatedLocations"] = [
            {"id": 1, "message": {"text": "The rule of the policy."}, **_location(reason.place)},
        ]
    if reason.waiver is not None:
        told["suppressions"] = [{"kind": "external", "justification": text(reason.waiver)}]
    return told


def _file(item: Gated, review: Review) -> str:
    if review.lock is not None:
        return review.lock
    return item.new.bundle if item.new is not None and item.new.bundle is not None else item.model


def _location(place: Place) -> dict[str, Json]:
    """Return a place: a path of the repository, or one of the machine where it is absolute."""
    path = PurePosixPath(printable(place.file))
    if path.is_absolute():
        where: dict[str, Json] = {"uri": f"file://{quote(str(path))}"}
    else:
        where = {"uri": quote(str(path)), "uriBaseId": "%SRCROOT%"}
    return {"physicalLocation": {"artifactLocation": where, "region": {"startLine": max(place.line, 1)}}}


def fingerprint(model: str, reason: Reason, number: int) -> str:
    """Return what a reason is recognised by in a later run; ``number`` counts those that are alike in all else."""
    told = json.dumps([model, reason.id, reason.path, number])  # ASCII, whatever was read
    return hashlib.sha256(told.encode("ascii")).hexdigest()


def text(said: str) -> str:
    """Return hostile text for a message: printable, without links and placeholders (SARIF 2.1.0, 3.11.5 and 3.11.6)."""
    shown = printable(said[:TEXT_LIMIT], keep="\n")
    for char in "\\[]":
        shown = shown.replace(char, f"\\{char}")
    return shown.replace("{", "{{").replace("}", "}}")
