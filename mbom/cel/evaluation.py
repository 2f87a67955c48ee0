"""Asking a child process what expressions come to."""

import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mbom.engine import process
from mbom.engine.process import Limits
from mbom.errors import EngineError, UnavailableError
from mbom.strictjson import Fields, Json

EXTRA = "mbom[cel]"
VARIABLES_LIMIT = 8 << 20  # bytes of JSON; a BOM with a thousand findings takes 200,000

# Honest rules take milliseconds. The library itself is 50 MB of mapped code, which counts as in use already.
LIMITS = Limits(wall_seconds=20.0, cpu_seconds=10, address_space_bytes=512 << 20, result_bytes=1 << 20, file_bytes=0)

_INSIDE = "mbom.cel.inside"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an expression came to: true, false, or None with the error that says why nobody knows."""

    value: bool | None
    error: str | None


def check(expressions: Sequence[str], names: Sequence[str]) -> list[str | None]:
    """Return what is wrong with each expression over these variables, as far as can be told without values.

    Raises:
        UnavailableError: when the extra is not installed.
        EngineError: when the process that looks at them did not get through.
    """
    return [outcome.error for outcome in _ask(expressions, names, None)]


def evaluate(expressions: Sequence[str], variables: Mapping[str, Json]) -> list[Outcome]:
    """Return what each expression comes to.

    Where the process is ended, by a limit or a crash, no expression has a value.

    Raises:
        UnavailableError: when the extra is not installed.
    """
    if len(json.dumps(variables)) > VARIABLES_LIMIT:
        return [Outcome(value=None, error=f"the facts take more than {VARIABLES_LIMIT} bytes")] * len(expressions)
    try:
        return _ask(expressions, list(variables), variables)
    except EngineError as error:
        return [Outcome(value=None, error=str(error))] * len(expressions)


def _ask(expressions: Sequence[str], names: Sequence[str], variables: Mapping[str, Json] | None) -> list[Outcome]:
    if importlib.util.find_spec("cel_expr_python") is None:
        raise UnavailableError(f"rules in CEL take an extra: pip install '{EXTRA}'")
    request: dict[str, Json] = {
        "expressions": list[Json](expressions),
        "names": list[Json](names),
        "variables": None if variables is None else dict(variables),
    }
    answer = process.run_module(_INSIDE, request, name="rules", limits=LIMITS)
    if not isinstance(answer, list) or len(answer) != len(expressions):
        raise EngineError("the rules process gave another number of answers than there are expressions")
    return [_outcome(Fields(item, "the rules process")) for item in answer]


def _outcome(fields: Fields) -> Outcome:
    if fields.has("error"):
        return Outcome(value=None, error=process.one_line(fields.text("error")))
    value = fields.raw("value")
    return Outcome(value=value if isinstance(value, bool) else None, error=None)
