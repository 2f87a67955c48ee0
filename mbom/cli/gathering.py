"""Options that belong together, added to a command that takes what they say as one parameter."""

from collections.abc import Callable, Sequence
from typing import Any

Command = Callable[..., None]


def gathered(
    command: Command,
    added: Sequence[Callable[[Command], Command]],
    names: Sequence[str],
    parameter: str,
    gather: Callable[[dict[str, Any]], object],
) -> Command:
    """Add options to a command.

    Args:
        command: what click decorates.
        added: options, in the order of the help.
        names: the parameters that click passes for them.
        parameter: what the command takes in their place.
        gather: returns its value from theirs.
    """

    def passing(**values: object) -> None:
        told: dict[str, Any] = {name: values.pop(name) for name in names}
        command(**{parameter: gather(told)}, **values)

    # What click keeps on the function: the options that stand below this one.
    passing.__dict__.update(vars(command))
    passing.__name__, passing.__doc__ = command.__name__, command.__doc__
    decorated: Command = passing
    for option in reversed(added):
        decorated = option(decorated)
    return decorated
