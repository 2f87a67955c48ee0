"""Files that claim bytes which no disk holds: a few kilobytes that a reader would hash for days."""

import errno
import os

from mbom.errors import RefusedError

HOLES_LIMIT = 1 << 30  # bytes in holes; downloaders leave none in a file that is complete
_STRETCHES = 10_000  # of data that are followed; a file in more pieces is read like any other


def check_holes(descriptor: int, status: os.stat_result, what: str) -> None:
    """Refuse a file of which more than ``HOLES_LIMIT`` bytes are holes.

    The number of blocks alone does not tell, because file systems that compress count them otherwise. So the system is
    asked where the data lies; one that knows no holes says that all of it is data.

    Raises:
        RefusedError: naming the file, what it claims and what it holds.
        OSError: when the system cannot tell of a file that it should know.
    """
    if status.st_size - 512 * status.st_blocks <= HOLES_LIMIT:
        return
    holes = _holes(descriptor, status.st_size)
    os.lseek(descriptor, 0, os.SEEK_SET)
    if holes > HOLES_LIMIT:
        raise RefusedError(
            f"{what}: {status.st_size} bytes of which {holes} are holes that no disk holds, the limit is "
            f"{HOLES_LIMIT}: fetch the file again, or write it out with `cp --sparse=never` where those are zeros"
        )


def _holes(descriptor: int, size: int) -> int:
    """Return how many bytes are holes, as far as ``_STRETCHES`` tell."""
    position = holes = 0
    for _ in range(_STRETCHES):
        try:
            data = os.lseek(descriptor, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:  # no data beyond the position
                raise
            return holes + size - position
        holes += data - position
        position = os.lseek(descriptor, data, os.SEEK_HOLE)
        if position >= size:
            break
    return holes
