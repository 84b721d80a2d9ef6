import pytest

from minicarla.maps import Town, load_town


@pytest.fixture(scope="session")
def town01() -> Town:
    return load_town("Town01")
