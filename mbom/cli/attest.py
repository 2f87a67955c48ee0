"""`mbom attest`."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from mbom import attest as verb
from mbom import bom, engine
from mbom.bases import read_base
from mbom.cli import clock, folders, options, trust
from mbom.cli.console import Display, shown
from mbom.cli.summary import comparison, headline, outcome
from mbom.errors import EngineError, UsageError
from mbom.quantities import size
from mbom.signing import KeyVerifier, Signer, TokenKey
from mbom.source import open_source


def _refuse_contradictions(given: Mapping[str, Any]) -> None:
    """Raise UsageError for options that exclude each other, or need one that is missing."""
    if given["no_behaviour"] and (given["sensitivity"] or given["deployed"]):
        raise UsageError("--sensitivity and --deployed exclude --no-behaviour")
    if given["base_key"] is not None and not given["bases"]:
        raise UsageError("--base-key says whom to trust for --base, which is not given")
    if [given["key"] is not None, given["keyless"], given["unsigned"]].count(True) > 1:
        raise UsageError("--key, --keyless and --unsigned exclude each other")
    if given["timestamp"] is not None and (given["keyless"] or given["unsigned"]):
        raise UsageError("--timestamp is over signatures by a key: --keyless has its own, --unsigned has none")
    if (given["identity_token_file"] or given["trust_config"]) and not given["keyless"]:
        raise UsageError("--identity-token-file and --trust-config go with --keyless")


@click.command()
@click.argument("model")
@click.option("-o", "--output", type=options.PATH, help="The bundle to write. [default: NAME.mbom]")
@click.option(
    "--key",
    type=options.SIGNING_KEY,
    metavar="KEY",
    help="Private key in PEM, or a pkcs11: URI. [default: your own, made on first use]",
)
@click.option("--timestamp", metavar="URL", help="Have an RFC 3161 authority timestamp every signature.")
@click.option("--keyless", is_flag=True, help="Sign through Sigstore; its public log keeps identity and digests.")
@click.option(
    "--identity-token-file", type=options.PATH, help="OpenID token for --keyless. [default: CI's, or browser]"
)
@click.option("--trust-config", type=options.PATH, help="Sigstore instance for --keyless. [default: the public one]")
@click.option("--unsigned", is_flag=True, help="Write a bundle without signatures; verify will refuse it.")
@click.option("--no-behaviour", is_flag=True, help="Leave out the behaviour pass.")
@click.option("--all", "everything", is_flag=True, help="Take every copy of the weights, not only the loaded one.")
@click.option("--author", metavar="NAME", help="Who stands behind the BOM: NAME or 'NAME <EMAIL>'.")
@click.option(
    "--base", "bases", type=options.PATH, multiple=True, metavar="BUNDLE", help="Compare with the base in this bundle."
)
@click.option("--base-key", type=options.PATH, help="Public key that the bundles of --base must verify under.")
@options.origins
@click.option(
    "--spec", type=click.Choice(bom.WRITTEN), default=bom.CURRENT, show_default=True, help="Version of CycloneDX."
)
@click.option("--force", is_flag=True, help="Replace a bundle that exists.")
@click.option("--no-cache", is_flag=True, help="Hash every file, also those that an interrupted run has hashed.")
@options.sensitivity
@options.deployed
@options.device
@options.resume
@options.time_limit
@options.quiet
def attest(
    *,
    model: str,
    output: Path | None,
    key: Path | TokenKey | None,
    timestamp: str | None,
    keyless: bool,
    identity_token_file: Path | None,
    trust_config: Path | None,
    unsigned: bool,
    no_behaviour: bool,
    everything: bool,
    author: str | None,
    bases: tuple[Path, ...],
    base_key: Path | None,
    origins: Path | None,
    spec: bom.Spec,
    force: bool,
    no_cache: bool,
    sensitivity: int,
    deployed: str | None,
    device: engine.Device,
    resume: bool,
    time_limit: int | None,
    quiet: bool,
) -> None:
    """Hash, measure, describe and sign a checkpoint.

    MODEL is a folder when it exists as one, otherwise org/name on the hub, with an optional @revision.

    The bundle is written whole or not at all. After an interruption, the same command within a day does not hash
    weights again that are finished and still have their size, times and inode; --no-cache does.

    \b
    Examples:
      mbom attest openai/gpt-oss-120b
      mbom attest ./models/mine --key release.pem -o mine.mbom
      mbom attest ./models/mine --keyless
      mbom attest ./models/mine --base gpt-oss-20b.mbom --base-key openai.pub
    """
    _refuse_contradictions(click.get_current_context().params)
    if not no_behaviour and (missing := engine.available()) is not None:
        raise EngineError(f"{missing}, or leave the behaviour out with --no-behaviour")
    stands_behind = bom.Author.parse(author) if author is not None else None
    display = Display(quiet=quiet)
    producers = options.producers(origins)
    trusted_for_bases = KeyVerifier.load(base_key) if base_key is not None else None
    compared_with = [read_base(folder, trusted_for_bases) for folder in bases]
    signer: Signer | None = None
    if keyless:
        signer = trust.keyless_signer(identity_token_file, trust_config)
    elif not unsigned:
        signer = trust.signer(key, display, timestamp)
    with display.scanning() as on_scan, display.measuring() as on_measure, ExitStack() as until:
        source = open_source(model, on_bytes=on_scan.fetched)
        folder = output or Path(f"{source.origin.name}.mbom")
        done = verb.attest(
            source,
            folder,
            created=clock.created(),
            signer=signer,
            measure=None
            if no_behaviour
            else engine.Measurement(
                device=device,
                sensitivity=sensitivity,
                deployed=deployed,
                states=folders.states(),
                resume=resume,
                progress=on_measure,
                time_limit=time_limit,
                until=until,
            ),
            author=stands_behind,
            bases=compared_with,
            producers=producers,
            spec=spec,
            everything=everything,
            force=force,
            journals=None if no_cache else folders.journals(),
            on_scan=on_scan,
            on_survey=lambda survey: headline(display, survey),
        )
    if done.record is not None:
        outcome(display, done.record)
    for item in done.said.compared:
        display.fact("compared", comparison(item))
    display.fact("signed", "no" if signer is None else signer.identity + (", timestamped" if timestamp else ""))
    total = size(sum(len(data) for data in done.members.values()))
    display.line(f"{shown(folder)}   {len(done.members)} members, {total}")
    if signer is not None:
        trusted = trust.arguments(key, signer, trust_config)
        display.line(f"next: mbom verify {shown(folder)} {model}{trusted}")
    display.data(str(folder))
