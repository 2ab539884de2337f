"""The whole house sends: mails with a large attachment come in by SMTP, and one notice goes out by the relay."""

from __future__ import annotations

from pathlib import Path

from tests.relay import Relay
from tests.running import Running
from tests.test_notices import with_file


def test_the_worker_sends_one_notice_and_the_mail_is_logged_without_the_attachment(tmp_path: Path) -> None:
    with Relay() as relay, Running(tmp_path, parts=("web",), environ={"DROPCOPY_RELAY_URL": relay.url}) as house:
        house.api("/settings", {"attachment_limit": 4096}, "PATCH")
        house.start("receive")
        house.start("worker")
        house.wait_ready()
        unsigned = with_file(10_000).partition(b"\r\n")[2]
        for number in range(3):
            house.send(house.signer.sign(unsigned.replace(b"file-1", b"file-%d" % number)))
        house.until(lambda: house.status()["logged"] == 3, 60)
        house.until(lambda: relay.mails, 60)
        assert relay.envelopes == [("", ["ana@sales.example"])]
        assert "plan.pdf" in relay.mails[0].get_content()
