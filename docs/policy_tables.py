"""Write what repeats the code: ``python -m docs.policy_tables`` fills docs/policy.md and schemas/policy.schema.json."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

from docs.tables import table
from mbom.policy.keys import ENTRIES, KEYS, REQUIRED, Key
from mbom.policy.kinds import AGE, Day, Flag, Kind, Number, OneOf, Text, Texts, Value, Words
from mbom.policy.reasons import REASONS
from mbom.policy.schema import document

PAGE = Path(__file__).with_name("policy.md")
SCHEMA = Path(__file__).parent.parent / "schemas" / "policy.schema.json"

_TABLE = re.compile(r"<!-- table: (?P<name>\w+) -->\n(?:\n(?:\|.*\n)+)?")
_WORDS_SHOWN = 6


def _holds(kind: Kind) -> str:  # noqa: PLR0911  # one line for each kind
    """Return in words what a kind of value is."""
    if kind is AGE:
        return "an age such as `90d`"
    match kind:
        case Flag():
            return "`true` or `false`"
        case Number():
            return f"{'a whole number' if kind.whole else 'a number'} from {kind.minimum:g} to {kind.maximum:g}"
        case OneOf():
            return " or ".join(f"`{word}`" for word in kind.words)
        case Words():
            shown = ", ".join(f"`{word}`" for word in tuple(kind.words)[:_WORDS_SHOWN])
            return f"a list of {shown}{', …' if len(kind.words) > _WORDS_SHOWN else ''}"
        case Texts():
            return f"a list of entries, each {kind.of.form}"
        case Text():
            return kind.form
        case Day():
            return "a day such as `2027-01-31`"
    raise AssertionError(kind)


def _default(value: Value | None) -> str:
    if value is None:
        return "nothing is asked"
    return f"`{json.dumps(list(value) if isinstance(value, tuple) else value)}`".replace('"', "")


def _entry(held: Mapping[str, Key], required: tuple[str, ...]) -> str:
    rows = ((f"`{n}`{' (needed)' if n in required else ''}", _holds(k.kind), k.meaning) for n, k in held.items())
    return table(("key", "holds", "meaning"), rows)


def filled(page: str) -> str:
    """Return the page with its tables as the code has them."""
    keys = ((f"`{path}`", _holds(key.kind), _default(key.default), key.meaning) for path, key in KEYS.items())
    tables = {
        "keys": table(("key", "holds", "without it", "meaning"), keys),
        "reasons": table(("id", "meaning"), ((f"`{name}`", meaning) for name, meaning in REASONS.items())),
        **{name: _entry(held, REQUIRED[name]) for name, held in ENTRIES.items()},
    }
    return _TABLE.sub(lambda match: f"<!-- table: {match['name']} -->\n\n{tables[match['name']]}", page)


def schema() -> str:
    """Return the schema as it is published."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
