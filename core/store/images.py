"""Whose pictures from elsewhere a rep wants shown: nobody's, until the rep says so for one author."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from core.errors import BadInput
from core.reasons import N_
from core.store.database import write
from core.store.models import ShownSender
from core.store.visibility import Viewer

MOST = 500  # authors of one rep


def shown(viewer: Viewer, addresses: Iterable[str]) -> set[str]:
    """Those of these authors whose pictures the viewer wants to see."""
    wanted = {address.lower() for address in addresses}
    found = ShownSender.select(ShownSender.address).where(ShownSender.rep == viewer.rep_id, ShownSender.address.in_(list(wanted)[:MOST])) if wanted else ShownSender.noop()
    return {address for (address,) in found.tuples()}


def of_viewer(viewer: Viewer) -> list[str]:
    """All authors whose pictures the viewer wants to see."""
    return [address for (address,) in ShownSender.select(ShownSender.address).where(ShownSender.rep == viewer.rep_id).order_by(ShownSender.address).tuples()]


def show(viewer: Viewer, address: str, now: dt.datetime) -> None:
    """Show the pictures of this author from now on. Raises BadInput when the list is full."""
    with write():
        if len(of_viewer(viewer)) >= MOST:
            raise BadInput("address", N_("there are as many senders on your list as it can hold; remove one first"))
        ShownSender.insert(rep=viewer.rep_id, address=address.lower(), created_at=now).on_conflict_ignore().execute()


def hide(viewer: Viewer, address: str) -> None:
    """Ask again from now on."""
    with write():
        ShownSender.delete().where(ShownSender.rep == viewer.rep_id, ShownSender.address == address.lower()).execute()
