"""Tensor tables from the headers of safetensors files alone: what a checkpoint looks like, without reading its weights.

A terabyte of weights has some ten megabytes of headers. What comes of them has no digest, so it is no inventory and
vouches for nothing; an inventory comes from ``scan``, which reads every byte.
"""

from collections.abc import Mapping

from mbom.inventory.opening import opened
from mbom.inventory.record import TensorRecord
from mbom.source import LocalFile
from mbom.tensorfile import Header, read_header

UNREAD = ""  # stands for the digest of a tensor whose bytes were not read


def open_header(local: LocalFile) -> Header:
    """Read the header of a safetensors file and nothing else of it.

    Whether the data is there is judged by the file's size; a file that holds only a header and is as long as the
    header says, such as a sparse one, is read like any other.

    Raises:
        FormatError: when the header, or the file's length, is not what the format says.
        RefusedError: when it is a link, a device, a pipe.
        StorageError: when the system cannot read it.
    """
    with opened(local.path, local.name) as file:
        return read_header(file.descriptor, local.name)


def records(headers: Mapping[str, Header]) -> tuple[TensorRecord, ...]:
    """Return the tensors of several files by name, each with ``UNREAD`` for its digest.

    Args:
        headers: by the name of the file; of a tensor that lies in two files, the first file's is taken.
    """
    found: dict[str, TensorRecord] = {}
    for file, header in sorted(headers.items()):
        for tensor in header.tensors:
            found.setdefault(tensor.name, TensorRecord.of(file, tensor, UNREAD))
    return tuple(found[name] for name in sorted(found))
