"""The garbage collector passes over towns, and yet takes away those that nobody has any more."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from minicarla import heap


class Town:
    """Something that only the collector can take away."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_is_not_walked_through_again():
    town = Town()
    heap.settle()
    assert all(kept is not town for kept in gc.get_objects())
    assert gc.get_freeze_count() > 0


def test_a_town_that_was_kept_and_is_not_needed_any_more_goes():
    town = Town()
    seen = weakref.ref(town)
    heap.settle()
    del town
    gc.collect()
    assert seen() is not None, "it was not kept at all"
    heap.settle()
    assert seen() is None
