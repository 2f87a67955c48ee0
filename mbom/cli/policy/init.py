"""`mbom policy init`."""

import json
from pathlib import Path

import click

from mbom import bundle as bundles
from mbom.cli import options
from mbom.cli.console import Display, shown
from mbom.cli.output import save
from mbom.dossier import read_bundle
from mbom.errors import FormatError, SignatureError
from mbom.policy import NAME
from mbom.policy.starting import starting
from mbom.signing import claimed, keylessbundle
from mbom.signing.identity import Claims, load_certificate


@click.command()
@click.option("-o", "--output", type=options.PATH, default=NAME, show_default=True, help="Where to write it.")
@click.option(
    "--for", "models", type=options.PATH, multiple=True, metavar="BUNDLE", help="Note what this bundle says of itself."
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@options.as_json
@options.quiet
def init(*, output: Path, models: tuple[Path, ...], force: bool, as_json: bool, quiet: bool) -> None:
    """Write a policy to start from: sound, strict and commented.

    It trusts nobody until you name a signer. With --for, which can be given several times, licences, restrictions,
    publisher and signer that a bundle claims are noted in comments.

    \b
    Example:
      mbom policy init --for gpt-oss-20b.mbom
    """
    display = Display(quiet=quiet)
    text = starting([(read_bundle(path), signer(path)) for path in models])
    save(output, text.encode(), force=force)
    if as_json:
        display.json({"file": str(output)})
    display.line(f"{shown(output)}: name a signer in it, then `mbom policy check {shown(output)}`")


def signer(path: Path) -> str | None:
    """Return who claims to have signed a bundle, as an entry of ``signers`` says it; None for a key, which has no name.

    What is claimed is quoted as JSON, so that nothing in it ends the entry.
    """
    members = bundles.read(path)
    data = members.get(bundles.ATTESTATION)
    if data is None:
        return None
    try:
        if claimed(data, what=bundles.ATTESTATION).material != "keyless certificate":
            return None
        certificate = keylessbundle.read(data, what=bundles.ATTESTATION).certificate
        claims = Claims.of(load_certificate(certificate, what=bundles.ATTESTATION), what=bundles.ATTESTATION)
    except (FormatError, SignatureError):
        return None
    return f"identity: {json.dumps(claims.identity)}, issuer: {json.dumps(claims.issuer or 'unknown')}"
