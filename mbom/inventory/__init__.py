"""What a model is: its files, tensors and digests, its facts, and what is wrong with them."""

from mbom.inventory.record import DeclaredFile, FileRecord, Finding, Inventory, Severity, TensorRecord, model_digest
from mbom.inventory.scanning import Scan, ScanProgress, scan

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
    "scan",
]
