"""Reports for people: what is known of a model, or of what changed between two, as one page that needs nothing else."""

from mbom.report.blocks import Page
from mbom.report.claims import Verified
from mbom.report.markdown import markdown
from mbom.report.page import of_changes, of_model
from mbom.report.render import html

__all__ = ["Page", "Verified", "html", "markdown", "of_changes", "of_model"]
