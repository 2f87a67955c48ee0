"""A CycloneDX ML-BOM as SPDX 3.0.1 in JSON-LD, with its AI and dataset profiles."""

from mbom.bom.spdx.export import export_spdx

__all__ = ["export_spdx"]
