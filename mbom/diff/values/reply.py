"""What the process that compares weights says, read as strictly as anybody else's word."""

import math
from collections.abc import Callable
from typing import Any, TypeVar, get_args

from mbom.diff.changes import EXPLANATIONS, Basis, Explanation, ExplanationOutcome, RoleChange, WeightChange, Weights
from mbom.errors import FormatError
from mbom.strictjson import Fields

Read = TypeVar("Read")


def weights(fields: Fields) -> Weights:
    """Read what became of the weights.

    Raises:
        FormatError: naming the member that is not what it should be.
    """
    found = Weights(
        basis=_basis(fields),
        compared=fields.integer("compared"),
        equal=fields.integer("equal"),
        changed=tuple(_weight(each) for each in fields.objects("changed")),
        by_role=tuple(_role(each) for each in fields.objects("by_role")),
        by_layer=tuple(_role(each) for each in fields.objects("by_layer")),
        only_old=fields.texts("only_old"),
        only_new=fields.texts("only_new"),
        notes=fields.texts("notes"),
    )
    fields.end()
    return found


def explanation(fields: Fields) -> Explanation:
    """Read an explanation.

    Raises:
        FormatError: as ``weights``.
    """
    name, outcome, details = fields.text("id"), fields.text("outcome"), fields.raw("details")
    if name not in EXPLANATIONS or outcome not in get_args(ExplanationOutcome) or not isinstance(details, dict):
        raise FormatError(f"{fields.what}: {name[:80]!r}, {outcome[:80]!r} is no explanation")
    found = Explanation(
        id=name,
        outcome=outcome,  # type: ignore[arg-type]
        sentence=fields.text("sentence"),
        weights=fields.integer("weights"),
        names=fields.texts("names"),
        residual=_optional(fields, "residual", fields.number),
        details=details,
    )
    fields.end()
    return found


def _weight(fields: Fields) -> WeightChange:
    found = WeightChange(
        name=fields.text("name"),
        role=fields.text("role"),
        rank=_optional(fields, "rank", fields.integer),
        rank_unknown=_optional(fields, "rank_unknown", fields.text),
        experts=fields.integers("experts"),
        of=fields.integer("of", minimum=1),
        **_figures(fields),
    )
    fields.end()
    return found


def _role(fields: Fields) -> RoleChange:
    found = RoleChange(
        role=_optional(fields, "role", fields.text),
        weights=fields.integer("weights"),
        changed=fields.integer("changed"),
        **_figures(fields),
    )
    fields.end()
    return found


def _figures(fields: Fields) -> dict[str, Any]:
    """Read what changes of weights and of groups have in common; what JSON cannot say is infinite."""
    relative, error = (_optional(fields, name, fields.number) for name in ("relative", "error"))
    return {
        "layer": _optional(fields, "layer", fields.integer),
        "elements": fields.integer("elements"),
        "basis": _basis(fields),
        "relative": math.inf if relative is None else relative,
        "error": math.inf if error is None else error,
        "unchanged": _optional(fields, "unchanged", fields.number),
        "largest": _optional(fields, "largest", fields.number),
    }


def _optional(fields: Fields, name: str, read: Callable[[str], Read]) -> Read | None:
    return read(name) if fields.has(name) else None


def _basis(fields: Fields) -> Basis:
    basis = fields.text("basis")
    if basis not in get_args(Basis):
        raise FormatError(f"{fields.what}: {basis[:80]!r} is no basis of a comparison")
    return basis  # type: ignore[return-value]
