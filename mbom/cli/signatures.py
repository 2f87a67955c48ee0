"""`mbom verify --signature`: a signature that is no part of a bundle."""

from pathlib import Path

import click

from mbom import verify as verb
from mbom.cli import trust
from mbom.cli.console import Display
from mbom.errors import UsageError
from mbom.source import open_source

# The options of `mbom verify` that are about a bundle, or measure what only a bundle records.
OF_BUNDLES = ("behaviour", "challenge", "reference", "repo", "revision", "min_time", "resume", "time_limit")


def verify(context: click.Context, signature: Path, trusted: trust.Trusted, display: Display) -> int:
    """Verify ``signature`` with the options of `mbom verify`; print the verdict and return the exit status.

    Raises:
        UsageError: when an option goes with bundles only, or nobody is trusted.
    """
    given = context.params
    if given["checkpoint"] is not None:
        raise UsageError("--signature takes the place of a bundle: name the CHECKPOINT alone")
    for name in OF_BUNDLES:
        if given[name]:
            raise UsageError(f"--{name.replace('_', '-')} is for bundles; a signature by itself does not speak of that")
    checkpoint = str(given["bundle"])  # the one argument
    verifier = trusted.verifier(legacy=given["allow_legacy"])
    with display.scanning() as on_scan:
        alone = Path(checkpoint).is_file()
        verdict = verb.verify_signature(
            signature,
            Path(checkpoint) if alone else open_source(checkpoint, on_bytes=on_scan.fetched),
            verifier=verifier,
            allow_legacy=given["allow_legacy"],
            on_scan=on_scan,
        )
    if given["as_json"]:
        display.json(verdict.to_dict())
    else:
        display.verdict(verdict)
    return verdict.exit_code
