"""What every test is given back: a process as it found it."""

import logging
from collections.abc import Iterator

import pytest

SILENCED = ("appliance", "pydicom")


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Some commands silence logs for their whole process; here that process goes on to other tests."""
    levels = {name: logging.getLogger(name).level for name in SILENCED}
    yield
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
