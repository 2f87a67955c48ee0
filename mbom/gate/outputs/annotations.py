"""The review as workflow commands of GitHub Actions, which show it at the line of the lock file.

A command is a line that begins with two colons. What is written here is escaped as the runner unescapes it, so that no
text ends a property, a command or a line.
"""

from collections.abc import Iterator

from mbom.gate.gated import Gated, Review
from mbom.gate.outputs import telling
from mbom.policy.decision import Outcome
from mbom.printable import printable

TEXT_LIMIT = 4000  # characters of a message; the page of a run shows fewer
TITLE_LIMIT = 200  # characters; GitHub cuts titles at 255
# A step shows ten of each kind; those of the worst models come first, and more would only fill the log.
LIMIT = 50

_COMMANDS: dict[Outcome, str] = {"refuse": "error", "missing": "error", "waived": "warning", "note": "notice"}


def annotations(review: Review) -> list[str]:
    """Return the commands, a line each, the worst first and at most ``LIMIT``."""
    found = [line for item in review.gated for line in _of(item, review)]
    found.sort(key=lambda line: ("::error", "::warning", "::notice").index(line.partition(" ")[0]))
    if len(found) > LIMIT:
        more = command("warning", {"title": "mbom gate"}, f"{len(found) - LIMIT} more are in the summary")
        return [*found[:LIMIT], more]
    return found


def _of(item: Gated, review: Review) -> Iterator[str]:
    place = {"file": review.lock, "line": str(item.line or 1)} if review.lock is not None else {}
    for reason in telling.told(item):
        text = f"{reason.sentence}{telling.waived(reason)}"
        rule = telling.where(reason)
        text += f"\n{reason.action}" if reason.action and reason.refuses else ""
        text += f"\nRule: {rule}" if rule else ""
        yield command(_COMMANDS[reason.outcome], place | {"title": f"{item.model}: {reason.id}"}, text)
    if item.decision.could_not_check is not None:
        title = {"title": f"{item.model}: {telling.COULD_NOT_CHECK}"}
        yield command("warning", place | title, item.decision.could_not_check)


def command(name: str, properties: dict[str, str], text: str) -> str:
    """Return one command; see ``ActionCommand`` of the runner for what it unescapes."""
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {told}::{_data(printable(text[:TEXT_LIMIT], keep=chr(10)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(printable(text[:TITLE_LIMIT])).replace(":", "%3A").replace(",", "%2C")
