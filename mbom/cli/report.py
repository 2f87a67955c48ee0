"""`mbom report`."""

from pathlib import Path

import click

from mbom import bundle as bundles
from mbom import report
from mbom import verify as verb
from mbom.cli import clock, options, trust
from mbom.cli.console import Display, shown
from mbom.cli.opening import opened
from mbom.cli.output import save
from mbom.diff import Changes
from mbom.diff.measured import compared
from mbom.diff.opening import kind
from mbom.dossier import Dossier, read_bundle
from mbom.errors import ChangedError, UsageError
from mbom.signing import Verifier
from mbom.source import open_source

STANDARD_OUTPUT = Path("-")


@click.command("report")
@click.argument("bundle")
@click.argument("new", required=False)
@click.option("-o", "--output", type=options.PATH, metavar="FILE", help="Where to write it; - is standard output.")
@click.option("--force", is_flag=True, help="Replace the file that is there.")
@click.option("--markdown", is_flag=True, help="A short summary in Markdown, for comments and job summaries.")
@click.option("--checkpoint", metavar="MODEL", help="Hold these files against the bundle, as `mbom verify` does.")
@trust.named_signers
@options.quiet
@click.pass_context
def report_command(
    context: click.Context,
    *,
    bundle: str,
    new: str | None,
    output: Path | None,
    force: bool,
    markdown: bool,
    checkpoint: str | None,
    trusted: trust.Trusted,
    quiet: bool,
) -> None:
    """Write a page about a bundle, or about what changed between two models.

    The page is one HTML file for people who decide, in light and dark, on paper and on a phone: it holds no script and
    loads nothing. Without -o it is NAME.html in the working directory, or NAME.md with --markdown. Of two models, each
    is a bundle, a checkpoint or a repository, as for `mbom diff`.

    With --key, --identity or --certificate-chain the bundle is verified (of two, NEW), every check is in the report,
    and the exit status is that of `mbom verify`: 0 verified, 1 refused, 3 something could not be checked. A report is
    written in each case. Without them nothing is verified, and the page says so at its top.

    \b
    Examples:
      mbom report gpt-oss-20b.mbom --key release.pub --checkpoint ./models/gpt-oss-20b
      mbom report gpt-oss-20b.mbom -o report.html
      mbom report old.mbom new.mbom --markdown -o -
    """
    display = Display(quiet=quiet)
    verifier = None
    if trusted.somebody:
        verifier = trusted.verifier()
    elif checkpoint is not None or trusted.timestamp_authority is not None:
        given = "--checkpoint" if checkpoint is not None else "--timestamp-authority"
        raise UsageError(f"{given} takes somebody to trust: give the signer's public key with --key, or --identity")
    about = bundle if new is None else new
    if verifier is not None and kind(about) != "bundle":
        raise UsageError(f"{about} is no bundle, so nothing of it is signed: leave out whom you trust")
    held = read_bundle(Path(bundle)) if new is None else opened(new, display)
    changes = None if new is None else _changes(opened(bundle, display), held, display)
    verified = None if verifier is None else _verified(Path(about), held, verifier, checkpoint, display)
    page = report.of_model(held, verified) if changes is None else report.of_changes(changes, held, verified)
    data = report.markdown(page).encode() if markdown else report.html(page)
    _write(display, data, output or _default(bundle, new, markdown=markdown), force=force)
    context.exit(verified.verdict.exit_code if verified is not None else 0)


def _changes(old: Dossier, new: Dossier, display: Display) -> Changes:
    with display.comparing() as on_weight:
        return compared(old, new, progress=on_weight)


def _verified(
    path: Path, held: Dossier, verifier: Verifier, checkpoint: str | None, display: Display
) -> report.Verified:
    """Verify the bundle that the page is about.

    Raises:
        ChangedError: when it was exchanged between being read for the page and being verified.
    """
    with display.scanning() as on_scan:
        source = open_source(checkpoint, on_bytes=on_scan.fetched) if checkpoint is not None else None
        verdict = verb.verify(path, verifier=verifier, checkpoint=source, on_scan=on_scan)
    if bundles.digest(bundles.read(path)) != held.bundle_digest:
        raise ChangedError(f"{path}: the bundle changed while it was read; give the command again")
    return report.Verified(verdict=verdict, time=clock.created(), checkpoint=source is not None)


def _default(bundle: str, new: str | None, *, markdown: bool) -> Path:
    """Return a name in the working directory: those of the models, without what the names of bundles end with."""
    names = [_stem(named) for named in (bundle, new) if named is not None]
    return Path(f"{'-to-'.join(names)}.{'md' if markdown else 'html'}")


def _stem(named: str) -> str:
    path = Path(named)
    name = (path.resolve() if path.exists() else path).name
    return name.removesuffix(".zip").removesuffix(".mbom") or "report"


def _write(display: Display, data: bytes, output: Path, *, force: bool) -> None:
    if output == STANDARD_OUTPUT:
        display.data(data.decode())
        return
    save(output, data, force=force)
    display.line(f"{shown(output)}: open it in a browser" if output.suffix == ".html" else shown(output))
