import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mbom.engine.ahead import Ahead
from mbom.errors import RefusedError


class Shelf:
    """Hands out numbers, and counts those that were taken from it."""

    def __init__(self, *, broken_at: int | None = None) -> None:
        self.taken = 0
        self.broken_at = broken_at
        self.threads: set[int] = set()
        self.arrived = threading.Condition()

    def read(self) -> int:
        with self.arrived:
            self.threads.add(threading.get_ident())
            if self.taken == self.broken_at:
                raise RefusedError("the file ends here")
            self.taken += 1
            self.arrived.notify_all()
            return self.taken

    def wait_for(self, count: int) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.taken >= count, timeout=30)


def test_items_come_in_order_and_one_more_is_read_than_was_asked_for() -> None:
    shelf = Shelf()
    with ThreadPoolExecutor(1) as reader:
        for number in Ahead(shelf.read, 5, reader=reader):
            ahead = min(number + 1, 5)
            shelf.wait_for(ahead)
            assert shelf.taken == ahead
    assert shelf.taken == 5
    assert shelf.threads.isdisjoint({threading.get_ident()})


def test_nothing_is_read_ahead_unless_it_is_begun() -> None:
    shelf = Shelf()
    with ThreadPoolExecutor(1) as reader:
        ahead = Ahead(shelf.read, 3, reader=reader)
        assert shelf.taken == 0
        ahead.begin()
        ahead.begin()
        assert ahead.take() == 1
        assert ahead.take() == 2
        reader.shutdown()
        assert shelf.taken == 2


def test_nothing_is_read_where_nothing_is_to_be_read() -> None:
    with ThreadPoolExecutor(1) as reader:
        assert list(Ahead(Shelf(broken_at=0).read, 0, reader=reader)) == []


def test_what_reading_raises_comes_out_where_the_item_is_asked_for() -> None:
    with ThreadPoolExecutor(1) as reader:
        ahead = Ahead(Shelf(broken_at=1).read, 3, reader=reader)
        assert ahead.take() == 1
        with pytest.raises(RefusedError, match="the file ends here"):
            ahead.take()
