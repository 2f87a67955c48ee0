"""The inside of the process that evaluates expressions; only light modules may be imported here.

The library is the binding to CEL's own implementation in C++. It bounds the depth of an expression (32) and the
iterations of its comprehensions (10,000), and the limits of the process bound what those can come to.
"""

import re
from collections.abc import Callable
from typing import Any, cast

from cel_expr_python import cel

from mbom.strictjson import Json

ERROR_LIMIT = 500  # characters; the library quotes the expression and everything that could stand there

# The status before and behind a message, and the name that every expression has.
_STATUS = re.compile(r"^[A-Z_]+: (?:ERROR: <input>:)?| \[[A-Z_]+\]$")


def in_child(request: dict[str, Json], emit: Callable[[Json], None]) -> Json:
    """Compile each of ``expressions``, and evaluate it where there are ``variables``, as ``evaluate`` says."""
    del emit
    variables = cast("dict[str, Json] | None", request["variables"])
    names = cast("list[str]", request["names"])
    environment = cel.NewEnv(variables=dict.fromkeys(names, cel.Type.DYN))
    return [_outcome(environment, str(text), variables) for text in cast("list[Json]", request["expressions"])]


def _outcome(environment: Any, text: str, variables: dict[str, Json] | None) -> Json:  # noqa: ANN401  # untyped
    try:
        compiled = environment.compile(text)
        kind = compiled.return_type()
        if kind not in (cel.Type.BOOL, cel.Type.DYN):
            return {"error": f"it is of type {kind.name()}, neither true nor false"}
        if variables is None:
            return {"value": None}
        result = compiled.eval(data=variables)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        return {"error": _sentence(str(error))}
    if result.type() == cel.Type.BOOL:
        return {"value": bool(result.value())}
    if result.type() == cel.Type.ERROR:
        return {"error": _sentence(str(result.value()))}
    return {"error": f"it came to a value of type {result.type().name()}, neither true nor false"}


def _sentence(error: str) -> str:
    """Return the first of the errors that a text lists: line and column in the expression, and what is wrong."""
    return _STATUS.sub("", error.partition("\n |")[0])[:ERROR_LIMIT]
