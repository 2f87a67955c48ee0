"""What a model is, bit for bit: its files, tensors and digests, and what is wrong with them."""

from mbom.inventory.findings import refuse_errors
from mbom.inventory.metering import ScanProgress
from mbom.inventory.record import DeclaredFile, FileRecord, Finding, Inventory, Severity, TensorRecord, model_digest
from mbom.inventory.scanning import Scan, scan

__all__ = [
    "DeclaredFile",
    "FileRecord",
    "Finding",
    "Inventory",
    "Scan",
    "ScanProgress",
    "Severity",
    "TensorRecord",
    "model_digest",
    "refuse_errors",
    "scan",
]
