"""Telling which known model a checkpoint is, or is made from, without knowing anything of where it comes from."""

from mbom.identify.candidate import Candidate
from mbom.identify.identifying import SCHEMA, Identification, identify

__all__ = ["SCHEMA", "Candidate", "Identification", "identify"]
