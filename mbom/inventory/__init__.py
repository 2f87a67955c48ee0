"""What a model is: its files, tensors and digests, its facts, and what is wrong with them."""

from mbom.inventory.facts import Facts, read_facts
from mbom.inventory.findings import refuse_errors
from mbom.inventory.record import DeclaredFile, FileRecord, Finding, Inventory, Severity, TensorRecord, model_digest
from mbom.inventory.scanning import Scan, ScanProgress, scan
from mbom.inventory.survey import Survey, survey

__all__ = [
    "DeclaredFile",
    "Facts",
    "FileRecord",
    "Finding",
    "Inventory",
    "Scan",
    "ScanProgress",
    "Severity",
    "Survey",
    "TensorRecord",
    "model_digest",
    "read_facts",
    "refuse_errors",
    "scan",
    "survey",
]
