"""What every test may use: where the shared corpora stand, and how a missing real part is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"

# A busy machine is no fault of the code. On the build server every run tries the same examples; at home and in `make fuzz` always new ones.
settings.register_profile("house", deadline=None, derandomize=REQUIRE_ALL)
settings.load_profile("house")


def missing(what: str) -> None:
    """Skip with the name of the part that this machine lacks; with REQUIRE_ALL=1 its absence is a failure."""
    if REQUIRE_ALL:
        pytest.fail(f"{what} is missing and REQUIRE_ALL=1 demands it")
    pytest.skip(f"{what} is missing on this machine")


def corpora_folder() -> Path:
    return Path(os.environ.get("DROPCOPY_CORPORA") or ROOT.parent / "shared" / "corpora").resolve()


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of the shared test data."""
    folder = corpora_folder()
    if not folder.is_dir():
        missing(f"the test data folder {folder}")
    return folder
