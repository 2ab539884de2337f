"""Plugins: found, loaded, guarded. A broken one is shown with its sentence and never stops another nor loses a mail."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import health
from core.fence import Fence
from core.plugins import Plugins, built_in
from core.reader import Reader, ReadJob
from core.store import plugin_states
from core.store.models import Link, Outcome, Thread
from core.types import Envelope, HouseEvent, Trust
from tests.dnsserver import DnsServer
from tests.mailmaker import make_mail
from tests.spine import Company
from tests.store.small_world import World

pytest_plugins = ["tests.spine"]

EXAMPLE = '''"""Link the record only when the thread's contacts have exactly one open record between them."""
from core.hookspecs import hookimpl
from core.types import Link, LinkPolicy, Skip

def decide(case):
    for record in case.eligible_records:
        only = len(case.eligible_records) == 1
        yield Link(record, reason="only-open") if only else Skip(record, reason="several-open")

@hookimpl
def register_link_policies():
    return [LinkPolicy("my-own", "Only when it is unambiguous", decide, exclusive=True)]
'''
FAILING_POLICY = EXAMPLE.replace("    for record in case.eligible_records:", "    raise RuntimeError('no luck')\n    for record in case.eligible_records:")
FAILING_CHECK = '''"""A check that fails."""
from core.hookspecs import hookimpl
from core.types import Check

def check(message, envelope, dns, now):
    raise RuntimeError("no luck")

@hookimpl
def register_checks():
    return [Check("broken", "Broken", check)]
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "loose"
    made.mkdir(mode=0o755)
    return made


def loaded(folder: Path, **files: str) -> Plugins:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
        (folder / f"{name}.py").chmod(0o644)
    return Plugins(folder)


def told(plugins: Plugins, name: str) -> tuple[bool, str]:
    row = next(row for row in plugins.health() if row["name"] == name)
    return row["enabled"], row["last_error"]


def test_what_ships_is_loaded_without_a_complaint() -> None:
    plugins = Plugins()
    assert [row for row in plugins.health() if row["last_error"] or not row["enabled"]] == []
    assert {row["name"] for row in plugins.health() if row["origin"] == "built-in"} == {name.rpartition(".")[2] for name in built_in()}
    assert set(plugins.policies) >= {"single-open", "recent-open", "contact-only", "all-open"}
    assert all(row["title"].endswith(".") or row["title"] for row in plugins.health())


def test_the_documented_policy_works_as_a_loose_file(folder: Path) -> None:
    plugins = loaded(folder, my_own=EXAMPLE)
    assert told(plugins, "my_own") == (True, "")
    assert plugins.policies["my-own"].exclusive


def test_a_file_that_others_may_write_is_refused(folder: Path) -> None:
    (folder / "my_own.py").write_text(EXAMPLE)
    (folder / "my_own.py").chmod(0o666)
    plugins = Plugins(folder)
    assert told(plugins, "my_own")[0] is False
    assert "others may write" in told(plugins, "my_own")[1]
    assert "my-own" not in plugins.policies


def test_a_folder_that_others_may_write_is_refused(folder: Path) -> None:
    folder.chmod(0o777)
    plugins = loaded(folder, my_own=EXAMPLE)
    assert "my-own" not in plugins.policies
    assert "others may write" in told(plugins, "my_own")[1]


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("def decide(:", "could not be loaded"),
        ("import nothing_of_this_name", "could not be loaded"),
        ("import sys\nsys.exit(3)", "could not be loaded"),
        ("raise RuntimeError('no luck')", "no luck"),
        (EXAMPLE.replace("def register_link_policies", "def register_link_policy"), "register_link_policy, which is no hook"),
        (EXAMPLE.replace("register_link_policies()", "register_link_policies(house)"), "could not be loaded"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_disabled_and_says_why(folder: Path, text: str, sentence: str) -> None:
    plugins = loaded(folder, broken=text, zz_fine=EXAMPLE)
    enabled, error = told(plugins, "broken")
    assert not enabled
    assert sentence in error
    assert "my-own" in plugins.policies  # its neighbour works


def test_nothing_of_a_plugin_that_does_not_fit_stays(folder: Path) -> None:
    half = EXAMPLE + "\n@hookimpl\ndef on_event(event, house):\n    pass\n"
    plugins = loaded(folder, half=half)
    assert "my-own" not in plugins.policies
    assert "half" not in plugins.sinks()


def test_of_two_with_one_name_the_first_counts(folder: Path) -> None:
    plugins = loaded(folder, a_first=EXAMPLE, b_second=EXAMPLE.replace("Only when it is unambiguous", "Another"))
    assert plugins.policies["my-own"].title == "Only when it is unambiguous"
    assert "my-own is taken" in told(plugins, "b_second")[1]


def test_a_loose_file_cannot_take_the_place_of_a_built_in_policy(folder: Path) -> None:
    plugins = loaded(folder, thief=EXAMPLE.replace('"my-own"', '"single-open"').replace("Only when it is unambiguous", "Thief"))
    assert plugins.policies["single-open"].title != "Thief"
    assert "single-open is taken" in told(plugins, "thief")[1]


@pytest.mark.parametrize("answer", ["None", "[None]", "['single']", "3"])
def test_a_hook_that_answers_nonsense_harms_nobody(folder: Path, answer: str) -> None:
    text = EXAMPLE[: EXAMPLE.index("    return [LinkPolicy")] + f"    return {answer}\n"
    plugins = loaded(folder, odd=text)
    assert "single-open" in plugins.policies
    if answer != "None":
        assert told(plugins, "odd")[1]


def test_a_hook_that_raises_is_contained(folder: Path) -> None:
    plugins = loaded(folder, odd=EXAMPLE.replace("    return [LinkPolicy", "    raise KeyError('x')\n    return [LinkPolicy"))
    assert "single-open" in plugins.policies
    assert "KeyError" in told(plugins, "odd")[1]


def test_files_that_begin_with_an_underscore_are_left_alone(folder: Path) -> None:
    assert "my-own" not in loaded(folder, _my_own=EXAMPLE).policies


def test_a_sink_is_told_and_its_failure_is_given_back(folder: Path) -> None:
    sink = '"""Tells."""\nfrom core.hookspecs import hookimpl\nseen = []\n@hookimpl\ndef on_event(event):\n    if event.name == "mail.held":\n        raise ValueError("full")\n    seen.append(event.name)\n'
    plugins = loaded(folder, teller=sink)
    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert "teller" in plugins.sinks()
    assert plugins.send_event("teller", HouseEvent(1, "mail.logged", at)) is None
    assert isinstance(plugins.send_event("teller", HouseEvent(2, "mail.held", at)), ValueError)
    assert "full" in told(plugins, "teller")[1]


def test_a_reader_of_forwards_is_asked_before_the_core_and_may_fail(folder: Path) -> None:
    reads = '"""Reads."""\nfrom core.hookspecs import hookimpl\nfrom core.types import Forward, Mailbox\n@hookimpl\ndef read_forward(email):\n    if email.subject == "boom":\n        raise ValueError("boom")\n    return Forward(sender=Mailbox(None, "cy@else.example"), evidence="text")\n'
    (folder / "mine.py").write_text(reads)
    (folder / "mine.py").chmod(0o644)
    reader = Reader({"plugins_dir": str(folder), "dns": ""})
    job = ReadJob(Envelope("explain"), Trust(), dt.datetime(2026, 1, 1, tzinfo=dt.UTC), {})
    assert reader.read(make_mail(subject="Fwd: x"), job).forward.sender.address == "cy@else.example"  # type: ignore[union-attr]
    assert reader.read(make_mail(subject="boom"), job).forward is None


# --- inside the pipeline ------------------------------------------------------------------------------------------


@pytest.fixture
def with_plugins(store: World, tmp_path: Path, folder: Path, dns: DnsServer) -> Iterator[Company]:
    for name, text in (("failing", FAILING_POLICY), ("broken", FAILING_CHECK)):
        (folder / f"{name}.py").write_text(text)
        (folder / f"{name}.py").chmod(0o644)
    fence = Fence("core.reader:Reader", {"plugins_dir": str(folder), "dns": dns.address})
    made = Company(store, tmp_path, fence, Plugins(folder))
    yield made
    made.close()
    made.fresh()
    fence.close()


def test_a_failing_policy_leaves_the_mail_logged_unlinked_and_a_failing_check_is_no_pass(with_plugins: Company) -> None:
    from core.store.company import change_company

    company = with_plugins
    change_company({"policy": {"name": "my-own", "options": {}}})
    company.fresh()
    company.send(company.mail())  # DKIM passes beside the broken check
    company.send(make_mail("Ana <ana@sales.example>"))  # nothing passes; the broken check may have
    company.work()
    assert company.ends()[0] == "logged"
    assert company.ends()[1].startswith("received(")
    thread = Thread.get()
    assert (thread.waiting, thread.linked) == ("needs-choice", False)
    assert Link.select().where(Link.record.is_null(False)).count() == 0
    known = plugin_states.troubles(company.at)
    assert {name: (trouble.at, str(trouble.last_error).split()[6]) for name, trouble in known.items()} == {
        "failing": (company.at, "RuntimeError;"), "broken": (company.at, "RuntimeError;"),
    }  # fmt: skip
    assert {row["name"]: bool(row["last_error"]) for row in health.report(company.house)["plugins"]} == {"failing": True, "broken": True}
    assert plugin_states.troubles(company.at + dt.timedelta(days=2)) == {}
    assert "policy-unavailable" in str(list(thread.candidates.dicts())) + str(Outcome.get_by_id(1).params) + thread.waiting_reason
