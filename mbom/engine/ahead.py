"""Reading one item ahead: the next expert or block is read, hashed, copied and decoded while this one computes."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Items that have to be read in order, of which one more than was asked for is read in another thread.

    One at most, because an expert or a block in float64 is what memory is measured in here. What reading raises comes
    out where the item is asked for.
    """

    def __init__(self, read: Callable[[], Item], count: int, *, reader: Executor) -> None:
        """Begin to read ``count`` items, each by one call of ``read``, in a thread of ``reader``."""
        self._read = read
        self._left = count
        self._reader = reader
        self._next: Future[Item] | None = None
        self._begin()

    def take(self) -> Item:
        """Return the next item, and begin to read the one after it."""
        assert self._next is not None, "there are no more items"
        item = self._next.result()
        self._begin()
        return item

    def __iter__(self) -> Iterator[Item]:
        """Yield what is left."""
        while self._next is not None:
            yield self.take()

    def _begin(self) -> None:
        self._next = self._reader.submit(self._read) if self._left > 0 else None
        self._left -= 1
