"""What changed, in lines for people."""

from mbom.diff.changes import Changes


def differences(found: Changes) -> list[str]:
    """Return what changed, the most telling first."""
    if found.identical:
        return ["The files are the same."]
    lines = []
    for change in found.fields:
        lines.append(f"{change.section}: {change.name}: {change.old} → {change.new}")
    return lines
