"""Every page that somebody can look at, made from the routes themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.web.world import World

OUTSIDE = ("/api/", "/in/", "/livez", "/readyz", "/metrics", "/static")
KINDS = {"upkeep.preset": ("pipedrive", "hubspot"), "sources.new": ("imap", "mailgun")}
STATES = {
    "inbox.page": ("", "?tab=needs-choice", "?tab=archived", "?q=chairs"), "links.show": ("", *(f"?new={kind}" for kind in ("deal", "lead", "project", "contact", "organisation"))),
    "held.page": ("", "?tab=ignored", "?tab=strangers"), "settings.never_log": ("", "?address=bo@cust.example"), "find.page": ("", "?subject=nowhere"),
    "threads.page": ("", "?find=chairs"),
}  # fmt: skip


def paths(world: World, ids: Mapping[str, Any]) -> Iterator[str]:
    """The address of every GET route of the pages, in each of its states; `ids` fills what stands between brackets."""
    adapter = world.app.url_map.bind("localhost")
    for rule in world.app.url_map.iter_rules():
        if "GET" not in rule.methods or rule.rule.startswith(OUTSIDE):
            continue
        nouns = ("deals", "leads", "projects") if "noun" in rule.arguments else ("",)
        for noun in nouns:
            for kind in KINDS.get(rule.endpoint, ("deal",)):
                values = {name: {"noun": noun, "kind": kind}.get(name, ids.get(name, 1)) for name in rule.arguments}
                with world.app.test_request_context():
                    path = adapter.build(rule.endpoint, values)
                yield from (path + state for state in STATES.get(rule.endpoint, ("",)))


def pages(world: World, who: str | None, ids: Mapping[str, Any]) -> list[str]:
    """The addresses that answer this person (None: nobody is signed in) with a whole page."""
    client = world.client(who)
    found = []
    for path in paths(world, ids):
        if who is None and path == "/setup":
            continue
        answer = client.get(path)
        assert answer.status_code < 500, path
        if answer.status_code == 200 and answer.mimetype == "text/html" and "<h1" in answer.text and "<html" in answer.text:
            found.append(path)
    return found
