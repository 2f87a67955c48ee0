"""A review for its readers: a table for a terminal, Markdown for a summary, SARIF and annotations for a forge.

Every text in a review can come from whoever is judged. Each writer knows what its format would react to, and nothing
of that is left to act.
"""

from mbom.gate.outputs.annotations import annotations
from mbom.gate.outputs.markdown import markdown
from mbom.gate.outputs.sarif import sarif
from mbom.gate.outputs.table import Line, table

__all__ = ["Line", "annotations", "markdown", "sarif", "table"]
