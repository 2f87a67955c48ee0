"""`mbom verify`."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from mbom import bundle as bundles
from mbom import engine
from mbom import verify as verb
from mbom.cli import clock, folders, options, signatures, trust
from mbom.cli.console import Display
from mbom.cli.summary import Announced
from mbom.digest import GIT_HEX
from mbom.errors import UsageError
from mbom.source import open_source


@click.command()
@click.argument("bundle", type=options.PATH)
@click.argument("checkpoint", required=False)
@trust.signers
@click.option("--signature", type=options.PATH, metavar="FILE", help="Check this signature instead of a bundle.")
@click.option("--allow-legacy", is_flag=True, help="With --signature, take the format of model-signing 0.2 too.")
@click.option("--behaviour", is_flag=True, help="Run the behaviour pass again and compare.")
@click.option("--challenge", metavar="NONCE", help="Measure CHECKPOINT and --reference under a nonce, and compare.")
@click.option("--reference", metavar="OTHER", help="A copy that you trust, or a record that answers the same NONCE.")
@click.option("--repo", metavar="ORG/NAME", help="Demand this repository.")
@click.option("--revision", metavar="HEX", help="Demand this commit, 40 hex digits.")
@click.option("--min-time", metavar="DATE", help="Demand an attestation made at this UTC date or later: 2026-11-02.")
@options.device
@options.resume
@options.time_limit
@options.as_json
@options.quiet
@click.pass_context
def verify(
    context: click.Context,
    *,
    bundle: Path,
    checkpoint: str | None,
    trusted: trust.Trusted,
    signature: Path | None,
    allow_legacy: bool,
    behaviour: bool,
    challenge: str | None,
    reference: str | None,
    repo: str | None,
    revision: str | None,
    min_time: str | None,
    device: engine.Device,
    resume: bool,
    time_limit: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Check a bundle, and a checkpoint against it; or a signature by itself.

    BUNDLE is the folder that `mbom attest` wrote, or a .zip of it, which is read without being unpacked.

    CHECKPOINT is a folder, a snapshot folder of the hub's cache, or org/name@revision. Without it, only the bundle
    itself is checked. Exit status: 0 verified, 1 refused, 3 something could not be checked.

    --challenge asks what no bundle can have recorded: two copies of the signed files must compute the same under a
    nonce that you make up. OTHER is a checkpoint too, or a record that `mbom measure --challenge NONCE` wrote. The
    bundle's own record is compared with --behaviour only.

    With --signature, there is no bundle: the one argument is the CHECKPOINT that an OpenSSF Model Signing file
    (model.sig) is over, or one file with a signature of its own. Unsigned files are refused, and files that the
    signature leaves out are listed; those that a loader would use are refused too.

    A keyless signature is trusted from the --identity that --issuer vouches for, both matched exactly.

    \b
    Examples:
      mbom verify gpt-oss-20b.mbom ./models/gpt-oss-20b --key release.pub --behaviour
      mbom verify mine.mbom ./mine --identity me@example.org --issuer https://accounts.google.com
      mbom verify mine.mbom ./theirs --key release.pub --challenge 5f0c7a12e9 --reference ./mine
      mbom verify ./model --signature ./model/model.sig --key release.pub
      mbom verify ./model --signature model.sig --certificate-chain roots.pem --certificate-identity ai@example.com
      mbom verify model-00001-of-00003.safetensors --signature model-00001.sigstore.json --key release.pub
    """
    display = Display(quiet=quiet)
    if signature is not None:
        context.exit(signatures.verify(context, signature, trusted, display))
    if allow_legacy:
        raise UsageError("--allow-legacy goes with --signature; a bundle has no such format")
    if behaviour and checkpoint is None:
        raise UsageError("--behaviour needs a CHECKPOINT to measure")
    nonce = _nonce(challenge, reference, checkpoint)
    expected = _expectation(repo, revision, min_time)
    verifier = trusted.verifier()
    with display.scanning() as on_scan:
        source = open_source(checkpoint, on_bytes=on_scan.fetched) if checkpoint is not None else None
        if source is not None and source.origin.kind == "hub":
            # Whoever names a repository means that one: the bundle must be about it, and about that commit.
            origin = source.origin
            expected = replace(
                expected, repo=expected.repo or origin.repo, revision=expected.revision or origin.revision
            )
        run = engine.Measurement(device=device, states=folders.states(), resume=resume, time_limit=time_limit)
        asked = None
        if nonce is not None and reference is not None:
            other = Path(reference)
            asked = verb.Challenge(
                nonce=nonce,
                measure=_challenged(display, "the checkpoint", run, nonce),
                reference=other if bundles.holds_record(other) else open_source(reference, on_bytes=on_scan.fetched),
                # The two have equal digests; what one came to before an interruption must not stand in for the other.
                measure_reference=_challenged(
                    display, "the reference", replace(run, states=folders.states() / "reference"), nonce
                ),
            )
        verdict = verb.verify(
            bundle,
            verifier=verifier,
            checkpoint=source,
            measure=Announced(display=display, what="the checkpoint", run=run) if behaviour else None,
            asked=asked,
            expected=expected,
            on_scan=on_scan,
        )
    if as_json:
        display.json(verdict.to_dict())
    else:
        display.verdict(verdict)
    context.exit(verdict.exit_code)


def _challenged(display: Display, what: str, run: engine.Measurement, nonce: str) -> Announced:
    return Announced(display=display, what=f"{what} under the challenge {nonce!r}", run=replace(run, challenge=nonce))


def _nonce(challenge: str | None, reference: str | None, checkpoint: str | None) -> str | None:
    """Return the nonce of the challenge that the options ask for, None where they ask for none.

    Raises:
        UsageError: for a nonce of another form, or when something that a challenge takes is missing.
    """
    if challenge is None:
        if reference is not None:
            raise UsageError(
                "--reference goes with --challenge NONCE; --behaviour compares with the bundle's own record"
            )
        return None
    if reference is None:
        raise UsageError(
            "--challenge needs a --reference to compare with: a copy that you trust, or a record that "
            "`mbom measure --challenge` made under the same nonce"
        )
    if checkpoint is None:
        raise UsageError("--challenge needs a CHECKPOINT to measure")
    if Path(reference).exists() and Path(checkpoint).exists() and Path(reference).samefile(checkpoint):
        raise UsageError("--reference is the CHECKPOINT itself, which always agrees with itself; name a second copy")
    return options.nonce(challenge)


def _expectation(repo: str | None, revision: str | None, min_time: str | None) -> verb.Expectation:
    """Return what the options demand.

    Raises:
        UsageError: for a revision that is no full commit, or a date in another form.
    """
    if revision is not None and GIT_HEX.fullmatch(revision) is None:
        raise UsageError(f"--revision is {revision!r}, it must be a full commit of 40 lower-case hex digits")
    earliest, latest = None, None
    if min_time is not None:
        latest = clock.latest()
        try:
            earliest = datetime.strptime(min_time, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError as error:
            raise UsageError(f"--min-time is {min_time!r}, it must be a date such as 2026-11-02") from error
    return verb.Expectation(repo=repo, revision=revision, min_time=earliest, max_time=latest)
