"""Where the bytes of a checkpoint come from: a folder or the Hugging Face Hub."""

from mbom.source.base import Advertised, LocalFile, Origin, Source

__all__ = ["Advertised", "LocalFile", "Origin", "Source"]
