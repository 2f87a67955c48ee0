"""What a report shows, in its order: pure functions from what is known to a page."""

from mbom.diff.changes import Changes
from mbom.dossier import Dossier
from mbom.report import behaviour, changes, claims, disclosure, figures, model
from mbom.report.blocks import Page
from mbom.report.claims import Verified

COLOPHON = (
    "Made by mbom from the documents of the bundle alone. It is one file without scripts; it loads nothing and sends "
    "nothing."
)


def of_model(dossier: Dossier, verified: Verified | None = None) -> Page:
    """Return the report on one model.

    Args:
        dossier: what is known of it.
        verified: the verdict on it; None where nobody asked for one, and the page then says so.
    """
    inventory = dossier.inventory
    found = model.findings(
        inventory.findings, none="None. mbom looked for what it knows; that is not everything that can be wrong."
    )
    sections = (
        model.at_a_glance(dossier),
        *((claims.checks(verified),) if verified is not None else ()),
        model.identity(dossier),
        model.licence(dossier),
        model.lineage(dossier),
        model.parameters(dossier),
        behaviour.section(dossier.record),
        found,
        *disclosure.sections(dossier),
        claims.limits(),
        claims.oneself(dossier),
    )
    revision = inventory.origin.revision
    return Page(
        title=figures.heading(dossier.name),
        subtitle=figures.heading(f"commit {revision}" if revision else f"model digest {inventory.digest}"),
        topic="Model report",
        banner=claims.banner(verified),
        sections=sections,
        colophon=COLOPHON,
    )


def of_changes(found: Changes, new: Dossier, verified: Verified | None = None) -> Page:
    """Return the report on what differs between two models.

    Args:
        found: what differs.
        new: what is known of the model that it comes to.
        verified: the verdict on the new model.
    """
    return Page(
        title=figures.heading(changes.title(found)),
        subtitle=figures.heading(changes.subtitle(found)),
        topic="What changed",
        banner=changes.banner(found, verified),
        sections=(
            changes.at_a_glance(found),
            *((claims.checks(verified),) if verified is not None else ()),
            *changes.sections(found),
            claims.limits(),
            claims.oneself(new),
        ),
        colophon=COLOPHON,
    )
