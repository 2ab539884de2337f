"""One small company to test the store with: Ana and Bo sell, Eve is an admin, mails are filed without the pipeline."""

from __future__ import annotations

import datetime as dt
from typing import Any

from core.store import reps, search, threads
from core.store.database import write
from core.store.models import (
    Attachment,
    Contact,
    ContactAddress,
    Inbound,
    Link,
    Message,
    Organisation,
    Outcome,
    Participant,
    Raw,
    Record,
    RecordContact,
    Thread,
    Trace,
)
from core.store.seal import Seal
from core.store.visibility import Viewer, reader_of, viewer_of

START = dt.datetime(2026, 3, 2, 9, 0, tzinfo=dt.UTC)


class World:
    """Writes rows as the filing of mails would, with ids and times that rise by themselves."""

    def __init__(self) -> None:
        self.seal = Seal("k" * 32)
        self.now = START
        self._number = 0

    def later(self, **by: int) -> dt.datetime:
        self.now += dt.timedelta(**(by or {"minutes": 1}))
        return self.now

    def rep(self, name: str, role: str = "member", **more: Any) -> Viewer:
        return viewer_of(reps.create_rep(f"{name}@sales.example", name.title(), self.now, role=role, **more))

    def contact(self, name: str, *addresses: str, organisation: int | None = None) -> int:
        row = Contact.create(name=name, organisation=organisation, created_at=self.now, updated_at=self.now)
        for address in addresses:
            ContactAddress.create(address=address, contact=row.id)
        return int(row.id)

    def organisation(self, name: str) -> int:
        return int(Organisation.create(name=name, created_at=self.now, updated_at=self.now).id)

    def record(self, title: str, kind: str = "deal", *, contacts: tuple[int, ...] = (), status: str = "open", **more: Any) -> int:
        row = Record.create(kind=kind, title=title, status=status, created_at=self.now, updated_at=self.now, **more)
        for contact in contacts:
            RecordContact.create(record=row.id, contact=contact, added_at=self.now)
        return int(row.id)

    def thread(self, owner: Viewer, subject: str = "Chairs", sharing: str = "private", **more: Any) -> int:
        at = self.later()
        row = Thread.create(owner=owner.rep_id, conversation_id=f"c{at.timestamp()}", sharing=sharing, subject=subject, started_at=at, last_at=at, **more)
        return int(row.id)

    def mail(
        self, owner: Viewer, text: str = "Ten chairs, please.", *, subject: str = "Chairs", thread: int | None = None, sharing: str = "private",
        to: tuple[tuple[str, str], ...] = (("Cy", "cy@cust.example"),), files: tuple[str, ...] = (), contact: int | None = None, sender: str | None = None,
        date: dt.datetime | None = None,
    ) -> Message:  # fmt: skip
        """A logged mail of this rep, in a thread of its own unless one is named."""
        self._number += 1
        at = date or self.later()
        with write():
            thread_id = thread or self.thread(owner, subject, sharing)
            row = Message.create(
                inbound_id=self.inbound(owner, "logged", thread=thread_id, subject=subject), thread=thread_id, owner=owner.rep_id, dedupe_key=f"k{self._number}",
                message_id=f"m{self._number}@sales.example", from_name=owner.email.split("@")[0].title(), from_address=sender or owner.email, date=at,
                subject=subject, text=text, decision="pass", sha256="0" * 64, checks=[{"method": "dkim", "result": "pass", "aligned": True}],
            )  # fmt: skip
            people = [("from", row.from_name, row.from_address), *(("to", name, address) for name, address in to)]
            for role, name, address in people:
                Participant.create(message=row.id, role=role, name=name, address=address, contact=contact if role == "to" else None)
            for name in files:
                Attachment.create(message=row.id, part=1, filename=name, content_type="application/pdf", size=3, sha256="0" * 64)
            shared = Thread.get_by_id(thread_id).sharing == "company"
            search.index(row.id, at=at, owner_id=owner.rep_id, shared=shared, subject=subject, people=people, body=text, files=files)
            threads.refresh_row(thread_id)
        return row

    def inbound(self, rep: Viewer | None, state: str = "held", reason: str = "", *, thread: int | None = None, raw: bytes = b"From: x\r\n\r\nhi\r\n", **more: Any) -> int:
        """A kept mail with its end."""
        at = self.later()
        digest = f"{self._number:064d}{raw[:4].hex()}"
        Raw.insert(sha256=digest, size=len(raw), content=raw, stored_at=at).on_conflict_ignore().execute()
        ended = state in ("logged", "held", "ignored")
        ident = Inbound.create(
            source="smtp", envelope='{"source": "smtp", "rcpt_to": ["acme@drop.example"], "mail_from": "ana@sales.example"}', sha256=digest, size=len(raw), received_at=at,
            state=state, reason=reason or state,
        ).id  # fmt: skip
        if ended:
            Outcome.create(
                inbound_id=ident, state=state, reason=reason or state, source="smtp", received_at=at, decided_at=at, rcpt_to=["acme@drop.example"],
                rep=rep.rep_id if rep else None, thread=thread, **{"mail_from": "ana@sales.example", "sender": rep.email if rep else "x@stranger.example", **more},
            )  # fmt: skip
            Trace.create(inbound_id=ident, entries=[{"step": "admit", "outcome": "bcc", "reason": "admitted", "params": {"address": "acme@drop.example"}}])
        return int(ident)

    def policy_link(self, thread: int, record: int, kind: str = "deal") -> int:
        row = Link.create(
            thread=thread, target=f"{kind}:{record}", kind=kind, record=record, made_by="policy:single-open", reason="only-open", created_at=self.now,
            reader=reader_of(*Thread.select(Thread.owner, Thread.sharing).where(Thread.id == thread).tuples().first()),
        )  # fmt: skip
        threads.refresh_row(thread)
        return int(row.id)

    def people_link(self, thread: int, contact: int) -> None:
        """What a policy links for somebody who takes part."""
        Link.create(
            thread=thread, target=f"contact:{contact}", kind="contact", contact=contact, made_by="policy:single-open", reason="thread-contact",
            params={"title": Contact.get_by_id(contact).name}, created_at=dt.datetime.now(dt.UTC),
            reader=reader_of(*Thread.select(Thread.owner, Thread.sharing).where(Thread.id == thread).tuples().first()),
        )  # fmt: skip
        threads.refresh_row(thread)
