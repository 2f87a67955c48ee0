"""The sections on what was established, what that does not mean, and how to see for oneself."""

import shlex
from dataclasses import dataclass
from datetime import datetime

from mbom.attestation import format_time
from mbom.dossier import Dossier
from mbom.report.blocks import Banner, Bullets, Cell, Code, Commands, Fold, Mark, Prose, Section, Table, Tone
from mbom.report.model import ROWS, file_name
from mbom.verdict import Check, Verdict

OUTCOMES: dict[str, Tone] = {"PASS": "good", "FAIL": "bad", "SKIP": "mind"}
CHECKS = {
    "bundle": "The bundle is well formed",
    "signature": "The statement is signed by whom you trust",
    "evidence": "Every document is the signed one",
    "files": "The files are the signed ones",
    "tensors": "The tensors are the listed ones",
    "model-sig": "The OpenSSF signature agrees",
    "shards": "Every shard's own signature holds",
    "bom": "The BOM is valid and agrees",
    "behaviour-record": "The behaviour record is whole",
    "behaviour": "Measured again, the model computes the same",
    "expectation": "It is what you demanded",
    "challenge": "A copy you trust agrees under your challenge",
}
# What a bundle claims, and what it does not: the words of the design.
CLAIMS = (
    "Identity: these files and no others, by SHA-256, and these tensors, by BLAKE3.",
    "Facts: each as declared by somebody or as found in the files, with where it was read.",
    "Behaviour: this configuration, tokenizer and code, with these tensors, compute these numbers on these prompts.",
    "Author: a key, or an identity with an entry in a transparency log.",
)
LIMITS = (
    "It does not claim that there is no backdoor: a poisoned expert that no prompt reaches behaves perfectly.",
    "It does not speak of what its prompts did not reach, which is why it states what they did.",
    "It does not claim that the model is good, fair, or fit for what you have in mind.",
    "It does not claim that what the publisher declares is true: licences, base models and data sets are their word.",
    "It is no legal advice, and no opinion on whether anybody complies with a law.",
)


@dataclass(frozen=True, kw_only=True)
class Verified:
    """A verdict, and when it was reached; ``checkpoint`` where the files themselves were checked too."""

    verdict: Verdict
    time: datetime
    checkpoint: bool


def banner(verified: Verified | None) -> Banner:
    """Return what was established, in a sentence or two."""
    if verified is None:
        return Banner(
            tone="mind",
            title="Nothing was verified",
            text="This page says what the bundle says. Whether the bundle is genuine, and whether your files are the "
            "ones that it is about, was not checked: see the last section.",
        )
    verdict, when = verified.verdict, format_time(verified.time)
    if verdict.outcome == "refused":
        wrong = next(check for check in verdict.checks if check.outcome == "FAIL")
        return Banner(tone="bad", title="Refused", text=f"{_check(wrong)}: this does not hold. {wrong.detail} ({when})")
    if verdict.outcome == "incomplete":
        first = next((check for check in verdict.checks if check.outcome == "SKIP" and check.asked), None)
        told = (
            f"{_check(first)}: this could not be checked. {first.detail}" if first is not None else "No check was made."
        )
        return Banner(tone="mind", title="Incomplete", text=f"{told} ({when})")
    parts = ["Every step that was asked for holds."]
    parts += [f"Signer: {check.detail}." for check in verdict.checks if check.id == "signature"]
    parts.append(f"Checked at {when}.")
    if not verified.checkpoint:
        parts.append("Only the bundle was checked, and no files of the model.")
    if verdict.reservation:
        parts.append(f"This does not cover {verdict.reservation}.")
    parts.append("See below what it does not claim.")
    return Banner(tone="good", title="Verified", text=" ".join(parts))


def checks(verified: Verified) -> Section:
    """Return every check with its outcome."""
    rows: list[tuple[Cell, ...]] = [
        (_check(check), Mark(text=check.outcome, tone=OUTCOMES[check.outcome]), check.detail, Code(text=check.id))
        for check in verified.verdict.checks
    ]
    table = Table(
        caption="Every step of the verification, in order",
        columns=("What must hold", "Outcome", "What was found", "Step"),
        rows=tuple(rows),
    )
    note = Prose(text="SKIP: the step could not look, or nobody asked for it. It is never a pass.")
    return Section(id="checks", title="Verdict and checks", blocks=(table, note))


def limits() -> Section:
    """Return what a bundle claims, and what it does not."""
    blocks = (
        Prose(text="What a bundle claims, if its signature holds and you trust the signer:"),
        Bullets(items=CLAIMS),
        Prose(text="What it does not claim:"),
        Bullets(items=LIMITS),
    )
    return Section(id="limits", title="What this does not claim", blocks=blocks)


def oneself(dossier: Dossier) -> Section:
    """Return the commands that show the same without trust in this page."""
    inventory, bundle = dossier.inventory, shlex.quote(file_name(dossier))
    origin = inventory.origin
    demanded = f" --repo {shlex.quote(origin.repo)} --revision {origin.revision}" if origin.repo else ""
    sums = tuple(f"{file.sha256}  {file.name}" for file in inventory.files)
    blocks = (
        Prose(
            text="Anybody can write a page like this one. Take the signer's public key from the signer and not from "
            "here, and a bundle whose digest you were given by somebody you trust."
        ),
        Commands(
            caption="The bundle, and your copy of the files against it. SIGNER.pub is the signer's public key; of a "
            "keyless signature, give --identity and --issuer instead. MODEL is the folder with the files.",
            lines=(f"mbom verify {bundle} MODEL --key SIGNER.pub{demanded}",),
        ),
        Commands(
            caption="The same, and the behaviour measured again on your machine:",
            lines=(f"mbom verify {bundle} MODEL --key SIGNER.pub{demanded} --behaviour",),
        ),
        Prose(
            text=f"The model digest that it must come to is {inventory.digest}"
            + (f"; the digest of the bundle is {dossier.bundle_digest}." if dossier.bundle_digest else ".")
        ),
        Fold(
            title="Without mbom",
            blocks=(
                Commands(
                    caption="In the folder with the files, save the lines below as SHA256SUMS and type:",
                    lines=("sha256sum --check --strict SHA256SUMS",),
                ),
                Commands(caption="SHA256SUMS", lines=sums[:ROWS], more=max(0, len(sums) - ROWS)),
            ),
        ),
    )
    return Section(id="oneself", title="How to verify it yourself", blocks=blocks)


def _check(check: Check) -> str:
    return CHECKS.get(check.id, check.id)
