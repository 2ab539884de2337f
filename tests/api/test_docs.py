"""docs/api.md names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.api.house import OPERATIONS, opened

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "api.md").read_text("utf-8")


def test_the_documentation_names_every_route_and_no_other():
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[^`? ]*)`", TEXT))
    declared = {(one.method, one.open_path) for one in OPERATIONS}
    assert named == declared


def test_the_docs_page_shows_every_route_and_asks_no_other_host(tmp_path: Path) -> None:
    with opened(tmp_path) as house:
        answer = house.app.test_client().get("/api/v1/docs")
        assert answer.status_code == 200
        assert [one.name for one in OPERATIONS if one.open_path not in answer.text] == []
        loaded = re.findall(r"""(?:src|href|action)=["']([^"'#]*)""", answer.text)
        assert [place for place in loaded if re.match(r"(?:\w+:)?//", place)] == []
        assert [place for place in loaded if place.startswith("/static/") and house.app.test_client().get(place).status_code != 200] == []
