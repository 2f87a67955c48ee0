"""`mbom gate`: the command, and what it compares and whose word counts (``sides``)."""

from mbom.cli.gate.command import gate

__all__ = ["gate"]
