"""Reading one item ahead: the next expert or block is read, hashed, copied and decoded while this one computes."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Items that have to be read in order, of which one can be read in another thread before it is asked for.

    One at most, because an expert or a block in float64 is what memory is measured in here. What reading raises comes
    out where the item is asked for.
    """

    def __init__(self, read: Callable[[], Item], count: int, *, reader: Executor) -> None:
        """Prepare to read ``count`` items, each by one call of ``read``, in a thread of ``reader``."""
        self._read = read
        self._left = count
        self._reader = reader
        self._next: Future[Item] | None = None

    def begin(self) -> None:
        """Begin to read the next item, if there is one and it is not being read."""
        if self._next is None and self._left > 0:
            self._next = self._reader.submit(self._read)
            self._left -= 1

    def take(self) -> Item:
        """Return the next item."""
        self.begin()
        assert self._next is not None, "there are no more items"
        item, self._next = self._next.result(), None
        return item

    def __iter__(self) -> Iterator[Item]:
        """Yield what is left, reading one ahead."""
        while self._left > 0 or self._next is not None:
            item = self.take()
            self.begin()
            yield item
            del item  # or it would be kept while the next one is waited for
