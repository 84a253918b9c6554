"""Fixtures that every test may use."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of photographs that OFA_POSE_TEST_DATA names; the test is skipped without it."""
    folder = os.environ.get("OFA_POSE_TEST_DATA")
    if not folder:
        pytest.skip("OFA_POSE_TEST_DATA is not set")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"OFA_POSE_TEST_DATA names {path}, which is not a folder")
    return path


@pytest.fixture
def full_disk() -> Callable[[], AbstractContextManager[None]]:
    """A context in which no file can grow past 8 KiB.

    A context and not the whole test: pytest's own output may go to a file, too.
    """
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited() -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
