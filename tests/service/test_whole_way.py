"""A mail walks the whole way in real processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.running import Running


def test_a_bcc_is_logged_and_linked_and_its_copy_is_not_logged_twice(tmp_path: Path) -> None:
    with Running(tmp_path, parts=("receive", "worker", "web"), fresh=True) as house:
        mail = house.mail("Ten chairs", to="Bo <bo@cust.example>, new@other.example")
        house.send(mail)
        house.send(mail)
        house.until(lambda: house.status()["oldest_waiting_s"] == 0 and house.status()["accepted"] == 2)
        assert house.status()["logged"] == 1
        assert house.status()["ignored"] == 1
        thread = house.api("/threads/1")
        assert {link["title"] for link in thread["links"]} == {"Bo", "Cust Ltd", "Ten chairs", "new@other.example", "other.example"}
        deal = next(link for link in thread["links"] if link["kind"] == "deal")
        assert (deal["external_id"], deal["made_by"], deal["because"]) == ("d1", "policy:single-open", deal["because"])
        assert "only open" in deal["because"]
        assert '"wrong": false' in house.command("status", "--check", "--json")
        assert house.end("receive") == house.end("web") == house.end("worker") == 0


@pytest.mark.parametrize("sender, state", [("mallory@evil.example", "ignored"), ("stranger@sales.example", "held")])
def test_who_is_not_proved_or_not_known_is_never_logged(tmp_path: Path, sender: str, state: str) -> None:
    with Running(tmp_path) as house:
        raw = house.mail(sender=sender)
        if state == "ignored":
            house.dns.zone["evil.example"] = {"TXT": ["v=spf1 -all"]}
        house.send(raw, sender=sender)
        house.until(lambda: house.status()[state] == 1)
