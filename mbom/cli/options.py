"""Options that several commands share, and options that belong together, which a command takes as one parameter."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from mbom.behaviour.deployed import TYPES
from mbom.behaviour.record import check_nonce
from mbom.behaviour.sketches import FLIP_LIMIT
from mbom.errors import FormatError, StorageError, UsageError
from mbom.facts.producers import FILE_LIMIT, Producers, built_in
from mbom.signing import TokenKey
from mbom.signing.pkcs11uri import SCHEME

PATH = click.Path(path_type=Path)
Command = Callable[..., None]


class _SigningKey(click.ParamType[Path | TokenKey]):
    """A private key: a file, or a ``pkcs11:`` URI."""

    name = "path"

    def convert(
        self, value: str | Path | TokenKey, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | TokenKey:
        """Read the option's value; a URI is recognised by its scheme, and ``./pkcs11:…`` is a file."""
        del param, ctx
        if isinstance(value, str):
            return TokenKey.parse(value) if value.startswith(SCHEME) else Path(value)
        return value


SIGNING_KEY = _SigningKey()

quiet = click.option("-q", "--quiet", is_flag=True, help="Print data and errors only.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the behaviour pass runs; auto takes CUDA where there is one.",
)
sensitivity = click.option(
    "--sensitivity",
    type=click.IntRange(0, FLIP_LIMIT),
    default=0,
    metavar="N",
    help="Try on N single weights whether the record shows a change by one unit in the last place.",
)
time_limit = click.option(
    "--time-limit",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Give up the behaviour pass after this time. [default: none]",
)
resume = click.option("--resume", is_flag=True, help="Go on with an interrupted measurement of this checkpoint.")


def nonce(given: str | None) -> str | None:
    """Return what ``--challenge`` was given.

    Raises:
        UsageError: for a nonce of another form than a record can hold.
    """
    if given is not None:
        try:
            check_nonce(given, what="--challenge")
        except FormatError as error:
            raise UsageError(f"{error}; `openssl rand -hex 16` makes a good one") from error
    return given


deployed = click.option(
    "--deployed",
    type=click.Choice(TYPES),
    help="Note how far an ordinary run in this type is from the record; advisory.",
)

origins = click.option(
    "--origins",
    type=PATH,
    metavar="FILE",
    help="Producers of your own, before those that mbom knows: JSON or YAML with account, entity, country, source, "
    "reviewed and optionally website of each.",
)


def producers(path: Path | None) -> Producers:
    """Return the table of producers, with the entries of ``--origins``.

    Raises:
        StorageError: when the file cannot be read.
        UsageError: when it is not what the format says.
    """
    if path is None:
        return built_in()
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return built_in().extended(data, what=str(path))
    except FormatError as error:
        raise UsageError(f"--origins: {error}") from error


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
