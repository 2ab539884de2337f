"""docs/api.md names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.api.house import OPERATIONS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text("utf-8")


def test_the_documentation_names_every_route_and_no_other():
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[^`? ]*)`", TEXT))
    declared = {(one.method, one.open_path) for one in OPERATIONS}
    assert named == declared
