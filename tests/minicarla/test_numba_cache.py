"""Compiled code lives as long as every source that is compiled, and no longer."""

import threading
import time
from pathlib import Path

import pytest

from minicarla.numba_cache import alone_while_compiling, forget_stale_code


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, text in (
        ("loops.py", "from numba import njit\n"),
        ("physics/helper.py", "from numba import njit\n# one\n"),
        ("handlers/plain.py", "import math\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    forget_stale_code(tmp_path)
    index = tmp_path / "__pycache__" / "loops.run-1.py311.nbi"
    index.write_bytes(b"code")
    return tmp_path


def is_kept(package: Path) -> bool:
    forget_stale_code(package)
    return bool(list(package.rglob("*.nbi")))


def test_it_is_kept_while_nothing_compiled_changes(package: Path) -> None:
    assert is_kept(package)
    (package / "handlers" / "plain.py").write_text("import cmath\n")
    assert is_kept(package)


def test_a_changed_helper_in_another_file_lets_it_go(package: Path) -> None:
    (package / "physics" / "helper.py").write_text("from numba import njit\n# two\n")
    assert not is_kept(package)


def test_a_helper_that_comes_or_goes_lets_it_go(package: Path) -> None:
    (package / "physics" / "helper.py").unlink()
    assert not is_kept(package)


def test_of_several_first_starts_one_compiles_and_later_ones_do_not_wait(package: Path) -> None:
    """Each start is a thread with a lock file of its own: flock tells open files apart, whoever opened them."""
    inside, alone = 0, []
    entered, compiled = threading.Event(), threading.Event()

    def start() -> None:
        nonlocal inside
        with alone_while_compiling(package):
            inside += 1
            alone.append(inside == 1)
            entered.set()
            compiled.wait(60.0)
            inside -= 1

    starts = [threading.Thread(target=start) for _ in range(4)]
    for thread in starts:
        thread.start()
    assert entered.wait(60.0)
    time.sleep(0.1)  # in which the others would come in
    first_ones = list(alone)
    compiled.set()
    for thread in starts:
        thread.join()
    assert first_ones == [True], "the others wait"
    assert len(alone) == 4
    with alone_while_compiling(package), alone_while_compiling(package):
        pass  # all is compiled: nobody waits for anybody


def test_a_package_that_cannot_be_written_is_left_alone(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (package / "loops.py").write_text("from numba import njit\n# changed\n")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "unlink", refused)
    forget_stale_code(package)
    assert list(package.rglob("*.nbi"))
