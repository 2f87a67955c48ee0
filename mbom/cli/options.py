"""Options that several commands share."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)

quiet = click.option("-q", "--quiet", is_flag=True, help="Print data and errors only.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
device = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the behaviour pass runs; auto takes CUDA where there is one.",
)
time_limit = click.option(
    "--time-limit",
    type=click.IntRange(min=1),
    metavar="SECONDS",
    help="Give up the behaviour pass after this time. [default: none]",
)
