"""One small company for all page tests: opening it costs a second, so it is opened once; tests add to it."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from core.store.database import connected
from core.store.models import Attachment, Link, Message, Thread, Throttle
from tests.web.world import PNG, World, open_world

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with open_world(tmp_path_factory.mktemp("house")) as world:
        yield world


@pytest.fixture(autouse=True)
def _fresh_buckets(world: World) -> Iterator[None]:
    """Each test has all its tries."""
    with connected():
        Throttle.delete().execute()
    return


@pytest.fixture(scope="module")
def mail(world: World) -> SimpleNamespace:
    """Ana's private mail with everything that can stand in one, her undecided one, a held one, a turned away one, a stranger's."""
    inbound = world.mail(
        "Private offer", html='<p>Dear Bo <b>bold</b><img src="cid:logo@sales.example"><img src="https://track.example/x.png"><script>alert(1)</script></p>',
        picture=PNG, files=[("offer.pdf", "application/pdf", b"%PDF-1.7 secret")],
    )  # fmt: skip
    asked = world.mail("Desks or lamps", to="Kim Oda <kim@far.example>")
    evil = world.mail(EVIL, to=f'"{EVIL.replace(chr(34), "")}" <bo@cust.example>', text=EVIL, files=[("x.html", "text/html", b"<script>alert(1)</script>"), (EVIL + ".txt", "text/plain", b"x")])
    held = world.mail(EVIL, sender="Ana <ana@unproved.example>")
    rejected = world.mail("Forged", ip="198.51.100.9")
    stranger = world.mail("Stranger", sender="Someone <x@far.example>", ip="192.0.2.30")
    with connected():
        message = Message.get(Message.inbound_id == inbound)
        files = {row.filename: row.id for row in Attachment.select().where(Attachment.message == message.id)}
        asked_thread = Message.get(Message.inbound_id == asked).thread_id
        evil_message = Message.get(Message.inbound_id == evil)
        link = Link.get(Link.thread == message.thread_id, Link.kind == "deal")
        assert Thread.select().count() == 3
    return SimpleNamespace(
        thread=message.thread_id, message=message.id, pdf=files["offer.pdf"], picture=files["logo.png"], asked=asked_thread, held=held, rejected=rejected,
        stranger=stranger, link=link.id, evil=evil_message.id, evil_thread=evil_message.thread_id, inbound=inbound,
    )  # fmt: skip
