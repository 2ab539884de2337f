"""The house's own rules: floors, hooks with their documentation, and no hook without a test."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import core.hookspecs
from core.dns import Zone
from core.mail.parse import parse
from core.plugins import Plugins
from core.types import Contact, Envelope, HouseEvent, LinkCase, Message, Participant, Record, SourceContext
from tests.mailmaker import make_mail

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "plugins" / "README.md"
NOW = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)
HOOKS = sorted(name for name in dir(core.hookspecs) if hasattr(getattr(core.hookspecs, name), "dropcopy_spec"))


def examples() -> dict[str, str]:
    """The example of each heading of the README; "" is the one above all headings."""
    parts = re.split(r"(?m)^#{2,3} (.+)$", README.read_text("utf-8"))
    named = dict(zip(["", *parts[1::2]], [parts[0], *parts[2::2]], strict=True))
    return {name: found[1] for name, text in named.items() if (found := re.search(r"(?s)```python\n(.*?)```", text))}


def loaded(folder: Path, name: str) -> Plugins:
    """The example as a loose file, exactly as it stands in the README."""
    folder.chmod(0o755)
    path = folder / "example.py"
    path.write_text(examples()[name], "utf-8")
    path.chmod(0o644)
    plugins = Plugins(folder)
    row = next(row for row in plugins.health() if row["name"] == "example")
    assert (row["enabled"], row["last_error"]) == (True, "")
    assert row["title"].endswith(".")
    return plugins


def case(*records: Record) -> LinkCase:
    return LinkCase(NOW, (Participant("bo@cust.example", "Bo", Contact(1, "Bo")),), records)


def deal(number: int, day: int = 1) -> Record:
    return Record(number, "deal", f"Deal {number}", created_at=dt.datetime(2026, 1, day, tzinfo=dt.UTC), contact_ids=(1,))


def test_the_floors_hold() -> None:
    done = subprocess.run([str(Path(sys.executable).parent / "lint-imports")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_is_documented_and_no_other() -> None:
    headings = re.findall(r"(?m)^### (\w+)$", README.read_text("utf-8"))
    assert sorted(headings) == HOOKS
    assert set(examples()) == {"", *HOOKS}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_meaning_and_a_test(hook: str) -> None:
    assert (getattr(core.hookspecs, hook).__doc__ or "").strip().endswith(".")
    assert any(f"def {hook}" in path.read_text("utf-8") or f"_{hook}_" in path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))


def test_the_design_s_policy_links_the_only_open_record(tmp_path: Path) -> None:
    policy = loaded(tmp_path, "").policies["my-single-open"]
    assert [word.record.id for word in policy.decide(case(deal(1))) if word.linked] == [1]
    assert [word.reason for word in policy.decide(case(deal(1), deal(2)))] == ["several-open"] * 2


def test_the_example_of_register_link_policies_links_the_newest(tmp_path: Path) -> None:
    policy = loaded(tmp_path, "register_link_policies").policies["newest-deal"]
    assert [word.record.id for word in policy.decide(case(deal(1, day=3), deal(2, day=2))) if word.linked] == [1]


def test_the_example_of_register_checks_finds_a_record(tmp_path: Path) -> None:
    check = next(one for one in loaded(tmp_path, "register_checks").checks if one.name == "bimi")
    email = parse(make_mail())
    zone = Zone({"default._bimi.sales.example": {"TXT": ["v=BIMI1; l=https://sales.example/logo.svg"]}})
    (result,) = check.check(Message(b"", email.identity), Envelope("smtp"), zone, NOW)
    assert (result.method, result.result, result.domain) == ("bimi", "pass", "sales.example")


def test_the_example_of_read_forward_reads_its_block(tmp_path: Path) -> None:
    plugins = loaded(tmp_path, "read_forward")
    raw = make_mail(body="Ticket of <Cy@cust.example>\n\nOur chairs wobble.\n")
    claimed = plugins.read_forward(parse(raw), raw)
    assert claimed is not None
    assert claimed.sender is not None
    assert (claimed.sender.address, claimed.body) == ("cy@cust.example", "Our chairs wobble.")


class _Kept:
    """An intake that remembers, and ends the loop when it has what it waited for."""

    message_limit = 1000

    def __init__(self, stop: Event) -> None:
        self.kept: list[tuple[bytes, Envelope]] = []
        self._stop = stop

    def receive(self, raw: bytes, envelope: Envelope) -> int:
        self.kept.append((raw, envelope))
        self._stop.set()
        return len(self.kept)


class _Soon(Event):
    """An event whose first wait does not last."""

    def wait(self, timeout: float | None = None) -> bool:
        return super().wait(0)


def test_the_example_of_register_sources_takes_a_mail(tmp_path: Path) -> None:
    source = loaded(tmp_path, "register_sources").sources["folder"]
    mails = tmp_path / "mails"
    mails.mkdir()
    (mails / "1.eml").write_bytes(make_mail())
    stop = _Soon()
    intake: Any = _Kept(stop)
    settings = source.settings.model_validate({"folder": str(mails), "drop_address": "acme@drop.example"})
    none: Any = None
    assert source.run is not None
    source.run(SourceContext("post", settings, intake, none, none, none, lambda: NOW, none), stop)
    ((raw, envelope),) = intake.kept
    assert (raw, envelope.rcpt_to, envelope.key) == (raw, ("acme@drop.example",), "1.eml")
    assert list(mails.iterdir()) == []


def test_the_example_of_register_connectors_finds_people(tmp_path: Path) -> None:
    connector = loaded(tmp_path, "register_connectors").connectors["list"]
    settings = connector.settings.model_validate({"people": {"bo@cust.example": "Bo"}})
    assert connector.find is not None
    assert [row["name"] for row in connector.find(settings, ("bo@cust.example", "no@cust.example"))] == ["Bo"]


def test_the_example_of_on_event_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins = loaded(tmp_path, "on_event")
    monkeypatch.chdir(tmp_path)
    assert plugins.send_event("example", HouseEvent(1, "mail.logged", NOW, {"inbound": 7})) is None
    assert plugins.send_event("example", HouseEvent(2, "mail.held", NOW, {"inbound": 8})) is None
    assert (tmp_path / "logged.txt").read_text() == "2026-01-05T00:00:00+00:00 7\n"


def test_no_template_puts_a_block_into_a_paragraph() -> None:
    """A browser ends the paragraph there, so that what follows falls out of its row."""
    inside = re.compile(r"<p\b[^>]*>(?:(?!</p>).)*?<(?:form|details|div|ul|ol|section|table|pre|p|h[1-6])\b", re.DOTALL)
    found = {path.name: match[0][:80] for path in (ROOT / "templates").rglob("*.html") if (match := inside.search(path.read_text(encoding="utf-8")))}
    assert found == {}
