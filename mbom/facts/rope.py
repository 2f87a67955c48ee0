"""How a configuration turns positions into rotations: type, base and scaling, for all layers or for each kind of them.

transformers 5 writes ``rope_parameters``, older versions ``rope_scaling`` beside ``rope_theta``; either may nest one
set of members for each kind of layer.
"""

import math
from dataclasses import dataclass

from mbom.facts.members import Members, escaped, is_name
from mbom.facts.places import Place
from mbom.strictjson import Json

KINDS_LIMIT = 8  # kinds of layers with rotations of their own; honest models have up to two

_SECTIONS = ("rope_parameters", "rope_scaling")


@dataclass(frozen=True, kw_only=True)
class Rope:
    """Rotary position embedding, of the layers of one kind; ``layers`` is empty where it is that of all of them.

    ``factor`` is by how much the scaling stretches ``original_context``, the positions that the model first learnt.
    ``partial`` is the share of a head's dimensions that rotates, where it is not all.
    """

    layers: str = ""
    type: str | None = None
    theta: float | None = None
    factor: float | None = None
    original_context: int | None = None
    partial: float | None = None


def read_rope(members: Members) -> tuple[Rope, ...]:
    """Read the rotations, and note the place of each under ``architecture:rope``, with the layers' kind."""
    name, section = members.find(_SECTIONS)
    if section is not None and not isinstance(section, dict):
        members.reject(name, "an object")
        section = None
    nested = {key: value for key, value in (section or {}).items() if isinstance(value, dict)}
    if nested and len(nested) == len(section or {}):
        if len(nested) > KINDS_LIMIT or not all(map(is_name, nested)):
            members.reject(name, f"an object of up to {KINDS_LIMIT} kinds of layers")
            return ()
        members.note("architecture:rope", name)
        at = members.places["architecture:rope"]
        return tuple(
            _rope(members, value, Place(file=at.file, pointer=f"{at.pointer}/{escaped(key)}"), layers=key)
            for key, value in sorted(nested.items())
        )
    if section is not None:
        members.note("architecture:rope", name)
    given = section is not None and section.get("rope_theta") is not None
    outer = None if given else _number(members, "rope_theta", fact="architecture:rope:theta")
    found = _rope(members, section or {}, members.places.get("architecture:rope"), theta=outer)
    local = _number(members, "rope_local_base_freq", fact="architecture:rope:sliding_attention:theta")
    windowed = (Rope(layers="sliding_attention", type="default", theta=local),) if local is not None else ()
    return (found, *windowed) if found != Rope() else windowed


def _rope(
    members: Members, section: dict[str, Json], at: Place | None, *, layers: str = "", theta: float | None = None
) -> Rope:
    inner = Members(members.path, section, at=(str(at.pointer) if at is not None else "",))
    prefix = f"architecture:rope:{layers}" if layers else "architecture:rope"
    found = Rope(
        layers=layers,
        type=inner.text("rope_type", "type", fact=f"{prefix}:type"),
        theta=_number(inner, "rope_theta", fact=f"{prefix}:theta") or theta,
        factor=_number(inner, "factor", fact=f"{prefix}:scaling-factor"),
        original_context=inner.integer("original_max_position_embeddings", fact=f"{prefix}:original-context"),
        partial=_number(inner, "partial_rotary_factor", fact=f"{prefix}:partial"),
    )
    members.findings.extend(inner.findings)
    members.places.update(inner.places)
    return found


def _number(members: Members, *names: str, fact: str) -> float | None:
    """Return a positive finite number."""
    name, value = members.find(names)
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 and math.isfinite(float(value)):
        members.note(fact, name)
        return float(value)
    if value is not None:
        members.reject(name, "a positive number")
    return None
