"""What every test may use: where the shared corpora stand, and how a missing real part is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.quick import cheap_passwords, keep_templates

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_ALL = os.environ.get("REQUIRE_ALL") == "1"

# A busy machine is no fault of the code. On the build server every run tries the same examples; at home and in `make fuzz` always new ones.
settings.register_profile("house", deadline=None, derandomize=REQUIRE_ALL)
settings.load_profile("house")
keep_templates()
cheap_passwords()

# The files that take longest begin first: one of them that begins last would run alone for minutes. In turn what mostly waits for
# processes of its own, and what keeps a browser and with it a processor busy.
LONG = [
    "service/test_fence_in_use.py", "browser/test_every_page.py", "service/test_sources_in_the_browser.py", "service/test_ways_in.py", "browser/test_rep.py",
    "service/test_switching.py", "service/test_powercut.py",
]  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turns = {str(ROOT / "tests" / name): turn for turn, name in enumerate(LONG)}
    items.sort(key=lambda item: turns.get(str(item.path), len(turns)))


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
