"""A small company in one process, with real mail through the real pipeline: Ana, Ben and the admin Cleo sell chairs.

The sender's DNS is a server on loopback, so SPF passes aligned for sales.example from 192.0.2.10.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from app import create_app
from core.fence import Fence
from core.pipeline import Pipeline
from core.settings import load_settings
from core.store import people, records, setup
from core.store.database import connected
from core.store.models import Rep
from core.store.passwords import hash_password
from core.store.reps import create_rep
from core.store.visibility import viewer_of
from core.types import Envelope
from tests.dnsserver import DnsServer
from tests.store.tables import put_tables

PASSWORD = "correct horse battery"
ZONE = {"sales.example": {"TXT": ["v=spf1 ip4:192.0.2.10 -all"]}, "cust.example": {"TXT": ["v=spf1 ip4:192.0.2.20 -all"]}, "far.example": {"TXT": ["v=spf1 ip4:192.0.2.30 -all"]}}
PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000" + "1f15c4890000000d49444154789c6360f8cfc000000301010018dd8db00000000049454e44ae426082")


class World:
    """The app, its people, and what they do."""

    def __init__(self, folder: Path, base_url: str = "http://localhost", database_url: str = "") -> None:
        dns, fence = _outside()
        self.settings = load_settings(
            {
                "DROPCOPY_DATA_DIR": str(folder), "DROPCOPY_DNS": dns, "DROPCOPY_BASE_URL": base_url, "DROPCOPY_CONFIG": str(_no_config(folder)),
                "DROPCOPY_DATABASE_URL": database_url,
            }
        )
        if not database_url:
            put_tables(folder)
        self.app: Flask = create_app(self.settings)
        self.house = self.app.extensions["dropcopy"]
        self._pipeline = Pipeline(self.settings, self.house.plugins, self.house.seal, fence, self.house.now, "test")
        with connected():
            self._people()

    def _people(self) -> None:
        setup.set_up(
            company="Chairs Ltd", slug="chairs", mail_domain="drop.example", admin_email="cleo@sales.example", password=PASSWORD, policy="single-open",
            policies=self.house.plugins.policies, seal=self.house.seal, now=self.house.now(),
        )  # fmt: skip
        hashed = hash_password(PASSWORD)
        now = self.house.now()
        create_rep("ana@sales.example", "Ana Sand", now, password_hash=hashed)
        create_rep("ben@sales.example", "Ben Ruiz", now, password_hash=hashed)
        Rep.update(name="Cleo Park").where(Rep.email == "cleo@sales.example").execute()
        viewer = self.viewer("ana")
        cust = people.create_organisation(viewer, {"name": "Cust & Sons", "domains": ["cust.example"]})
        self.bo = people.create_contact(viewer, {"name": "Bo Berg", "addresses": ["bo@cust.example"], "organisation": cust.id}).id
        self.kim = people.create_contact(viewer, {"name": "Kim Oda", "addresses": ["kim@far.example"]}).id
        long_ago = now - dt.timedelta(days=60)
        self.chairs = self.record("deal", "Ten chairs", [self.bo], created_at=long_ago, organisation=cust.id)
        self.desks = self.record("deal", "Desks for Far Ltd", [self.kim], created_at=long_ago)
        self.lamps = self.record("deal", "Lamps for Far Ltd", [self.kim], created_at=long_ago)

    def record(self, kind: str, title: str, contacts: Sequence[int], **more: Any) -> int:
        values = {"title": title, "contacts": list(contacts), **more}
        return records.create(self.viewer("ana"), kind, values, self.house.seal).id

    def rep(self, name: str) -> Rep:
        return Rep.get(Rep.email == f"{name}@sales.example")

    def viewer(self, name: str) -> Any:
        return viewer_of(self.rep(name))

    def mail(
        self, subject: str, to: str = "Bo Berg <bo@cust.example>", text: str = "Hello, here is the offer.", *, sender: str = "Ana Sand <ana@sales.example>",
        html: str | None = None, files: Sequence[tuple[str, str, bytes]] = (), ip: str = "192.0.2.10", rcpt: str = "chairs@drop.example", age: dt.timedelta = dt.timedelta(),
        references: str | None = None, message_id: str | None = None, cc: str = "", picture: bytes | None = None,
    ) -> int:  # fmt: skip
        """Receive one mail and bring it to its end; its inbound id."""
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = sender, to, subject
        if cc:
            message["Cc"] = cc
        sent = self.house.now() - age
        message["Date"] = format_datetime(sent)
        message["Message-ID"] = message_id or f"<{abs(hash((subject, sender, sent)))}@sales.example>"
        if references:
            message["References"] = references
        message.set_content(text)
        if html is not None:
            message.add_alternative(html, subtype="html")
            if picture is not None:
                message.get_payload()[1].add_related(picture, "image", "png", cid="<logo@sales.example>", filename="logo.png")
        for name, kind, content in files:
            message.add_attachment(content, *kind.split("/"), filename=name)
        address = sender.rpartition("<")[2].rstrip(">")
        envelope = Envelope("smtp", (rcpt,), address, ip, "mail." + address.rpartition("@")[2], sent)
        with connected():
            inbound_id = self.house.intake.receive(bytes(message), envelope)
            self._pipeline.work()
        return inbound_id

    def client(self, name: str | None = None) -> FlaskClient:
        """A browser without script, signed in as this rep."""
        client = self.app.test_client()
        if name is not None:
            answer = self.post(client, "/login", email=f"{name}@sales.example", password=PASSWORD)
            assert answer.status_code == 303, answer.text
        return client

    def post(self, client: FlaskClient, path: str, *, page: str = "/login", headers: dict[str, str] | None = None, **form: Any) -> Any:
        """Post a form with the CSRF token of the session, as a page would."""
        with client.session_transaction() as session:
            held = session.get("csrf_token")
        token = token_of(client.get(page, follow_redirects=True).text) if held is None else self._signed(held)
        return client.post(path, data={"csrf_token": token, **form}, headers=headers)

    def _signed(self, held: str) -> str:
        from itsdangerous import URLSafeTimedSerializer

        return str(URLSafeTimedSerializer(self.app.config["SECRET_KEY"], salt="wtf-csrf-token").dumps(held))

    def close(self) -> None:
        self._pipeline.close()
        self.app.extensions["dropcopy-reading"].close()
        self.house.intake.close() if hasattr(self.house.intake, "close") else None


def token_of(text: str) -> str:
    return text.split('name="csrf-token" content="', 1)[1].split('"', 1)[0]


def _no_config(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "dropcopy.toml"
    path.write_text("")
    return path


@functools.cache
def _outside() -> tuple[str, Fence]:
    """The address of the DNS and the readers, the same for every world of this process: readers need a second to begin."""
    dns = DnsServer(ZONE).start().address
    return dns, Fence("core.reader:Reader", {"plugins_dir": "", "dns": dns})


@contextmanager
def open_world(folder: Path, base_url: str = "http://localhost", database_url: str = "") -> Iterator[World]:
    world = World(folder, base_url, database_url)
    try:
        yield world
    finally:
        world.close()
