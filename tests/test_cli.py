"""The command line: the public interface to the letter, and one clear sentence for everything that is wrong."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import app
from core.store import company as company_settings
from core.store import lookups
from core.store.database import close_databases, connected, intake_db, main_db
from core.store.models import DropAddress, Inbound, Outcome, Rep
from tests.mailmaker import make_mail, spare_signer
from tests.store.tables import put_tables

pytestmark = pytest.mark.timeout(120)


class Shell:
    """`python app.py …` in this process, with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str | None] = {
            "DROPCOPY_DATA_DIR": str(folder / "data"), "DROPCOPY_CONFIG": None, "DROPCOPY_DATABASE_URL": "", "DROPCOPY_QUEUE_URL": "",
            "DROPCOPY_PLUGINS_DIR": "", "DROPCOPY_SECRET_KEY": "k" * 32, "DROPCOPY_BASE_URL": "https://crm.sales.example",
        }  # fmt: skip

    def run(self, *arguments: str, **environ: str) -> Result:
        company_settings.forget_cache()
        lookups.forget_ours()
        return CliRunner().invoke(app.main, list(arguments), env={**self.env, **environ})

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refused(self, *arguments: str, **environ: str) -> str:
        """The one sentence on stderr of a command that ends with 2."""
        done = self.run(*arguments, **environ)
        assert done.exit_code == 2, done.output
        assert "Traceback" not in done.stderr
        return done.stderr.strip()

    def write(self, name: str, content: str) -> str:
        (self.folder / name).write_text(content, "utf-8")
        return str(self.folder / name)

    def set_up(self) -> dict[str, str]:
        if not (self.folder / "data").exists():
            (self.folder / "data").mkdir(mode=0o700)
            put_tables(self.folder / "data")
        return self.json(
            "setup", "--company", "Acme", "--slug", "acme", "--mail-domain", "drop.example", "--admin-email", "root@sales.example",
            "--admin-password-file", self.write("pw", "correct horse battery\n"),
        )  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    before = main_db.obj, intake_db.obj
    monkeypatch.chdir(tmp_path)
    yield Shell(tmp_path)
    close_databases()
    main_db.initialize(before[0])
    intake_db.initialize(before[1])
    company_settings.forget_cache()
    lookups.forget_ours()


@pytest.fixture
def sold(shell: Shell) -> Shell:
    """Set up, with Ana, her customer Bo and two deals, one of them won."""
    shell.set_up()
    people = {
        "reps": [{"external_id": "r1", "email": "ana@sales.example", "name": "Ana"}],
        "organisations": [{"external_id": "o1", "name": "Cust Ltd", "domains": ["cust.example"]}],
        "contacts": [{"external_id": "c1", "name": "Bo", "addresses": ["bo@cust.example"], "organisation": "o1"}],
        "deals": [
            {"external_id": "d1", "title": "Ten chairs", "contacts": ["c1"], "created_at": "2026-01-01T00:00:00Z"},
            {"external_id": "d2", "title": "Old sofa", "contacts": ["c1"], "created_at": "2026-01-01T00:00:00Z", "status": "won", "closed_at": "2026-02-01T00:00:00Z"},
        ],
    }
    assert shell.json("load", shell.write("people.json", json.dumps(people)), "--json")["deals"] == 2
    return shell


def case(raw: bytes, **more: Any) -> dict[str, Any]:
    import base64

    return {
        "id": "one", "raw_base64": base64.b64encode(raw).decode(), "now": 1795323306, "dns": spare_signer("sales.example").dns,
        "arrival": {
            "source": "smtp", "client_ip": "192.0.2.10", "helo": "mail.sales.example", "mail_from": "ana@sales.example", "rcpt_to": ["acme@drop.example"],
            "received_at": "2026-11-20T10:00:00Z",
        }, **more,
    }  # fmt: skip


def explained(shell: Shell, *given: Any) -> list[dict[str, Any]]:
    lines = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in given)
    done = shell.run("explain", "--cases", shell.write("cases.jsonl", lines))
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def signed(**more: Any) -> bytes:
    return spare_signer("sales.example").sign(make_mail(**more))


# --- every command ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(app.main.commands))
def test_every_command_has_help(shell: Shell, name: str) -> None:
    done = shell.run(name, "--help")
    assert done.exit_code == 0
    assert "Usage:" in done.stdout


def test_the_commands_of_the_public_interface_are_there() -> None:
    assert set(app.main.commands) >= {"run", "web", "receive", "worker", "setup", "load", "explain", "status", "reset-password", "reasons"}


# --- set-up, load, status -----------------------------------------------------------------------------------------


def test_set_up_prints_the_addresses_and_a_token(shell: Shell) -> None:
    answer = shell.set_up()
    assert answer["bcc_address"] == "acme@drop.example"
    assert answer["forward_address"] == "acme-fwd@drop.example"
    assert answer["api_token"]


def test_set_up_twice_is_refused_with_a_sentence(shell: Shell) -> None:
    shell.set_up()
    done = shell.refused("setup", "--company", "B", "--slug", "b", "--mail-domain", "b.example", "--admin-email", "b@b.example", "--admin-password-file", str(shell.folder / "pw"))
    assert "set up already" in done


@pytest.mark.parametrize(
    "option, value, told",
    [
        ("--company", " ", "company"), ("--slug", "a b", "slug"), ("--slug", "", "slug"), ("--mail-domain", "nodot", "mail-domain"), ("--mail-domain", "a b.example", "domain"),
        ("--admin-email", "root", "admin-email"), ("--policy", "best-guess", "policy"), ("--admin-password-file", "/nowhere/pw", "admin-password-file"),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_set_up_is_named_and_nothing_is_half_done(shell: Shell, option: str, value: str, told: str) -> None:
    options = {
        "--company": "Acme", "--slug": "acme", "--mail-domain": "drop.example", "--admin-email": "root@sales.example",
        "--admin-password-file": shell.write("pw", "correct horse battery"), option: value,
    }  # fmt: skip
    sentence = shell.refused("setup", *[part for pair in options.items() for part in pair])
    assert told in sentence
    assert "\n" not in sentence
    assert shell.set_up()["bcc_address"] == "acme@drop.example"


def test_a_weak_password_is_refused(shell: Shell) -> None:
    password = shell.write("weak", "short")
    sentence = shell.refused("setup", "--company", "A", "--slug", "a", "--mail-domain", "a.example", "--admin-email", "a@a.example", "--admin-password-file", password)
    assert "password" in sentence


def test_what_is_loaded_has_its_addresses_at_once_and_keeps_them(shell: Shell) -> None:
    shell.set_up()
    file = shell.write("deals.json", json.dumps({"deals": [{"external_id": f"d{n}", "title": f"Deal {n}"} for n in range(150)]}))
    found = []
    for _ in range(2):
        shell.json("load", file, "--json")
        with connected():
            found.append([(row.record_id, row.sealed) for row in DropAddress.select().where(DropAddress.kind == "record").order_by(DropAddress.id)])
            close_databases()
    assert len({record for record, _ in found[0]}) == 150
    assert found[0] == found[1]


def test_load_names_the_bad_row(shell: Shell) -> None:
    shell.set_up()
    sentence = shell.refused("load", shell.write("x.json", json.dumps({"deals": [{"external_id": "d", "title": "T", "contacts": ["nobody"]}]})))
    assert sentence.startswith("deals[0].contacts[0]:")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"', "[" * 100_000])
def test_load_of_what_is_no_file_of_people_is_one_sentence(shell: Shell, content: str) -> None:
    sentence = shell.refused("load", shell.write("x.json", content))
    assert len(sentence) < 400
    assert "\n" not in sentence


def test_load_of_a_missing_file_is_one_sentence(shell: Shell) -> None:
    assert "cannot be read" in shell.refused("load", str(shell.folder / "nothing.json"))


def test_status_holds_the_counts(shell: Shell) -> None:
    counts = shell.json("status", "--json")
    assert {name: counts[name] for name in ("accepted", "received", "processing", "logged", "held", "ignored", "oldest_waiting_s")} == dict.fromkeys(
        ("accepted", "received", "processing", "logged", "held", "ignored", "oldest_waiting_s"), 0
    )
    assert "Accepted 0" in shell.run("status").stdout


def test_status_says_that_nothing_listens_while_nothing_runs(shell: Shell) -> None:
    (source,) = shell.json("status", "--json")["sources"]
    assert (source["kind"], source["listens"], source["listening"]) == ("smtp", "127.0.0.1:8025", False)
    assert "Source smtp (smtp): no running process listens on 127.0.0.1:8025." in shell.run("status").stdout


def test_reset_password_prints_a_link(sold: Shell) -> None:
    link = sold.run("reset-password", "ana@sales.example").stdout.strip()
    assert link.startswith("https://crm.sales.example/reset/")
    assert "no rep" in sold.refused("reset-password", "nobody@sales.example")


def test_reasons_lists_every_code(shell: Shell) -> None:
    rows = shell.json("reasons", "--json")
    assert {"code", "sentence", "remedy"} == set(rows[0])
    assert "logged" in {row["code"] for row in rows}


@pytest.mark.parametrize("command", ["status", "run", "web", "receive", "worker"])
def test_a_wrong_setting_stops_every_command_with_its_sentence(shell: Shell, command: str) -> None:
    assert shell.refused(command, DROPCOPY_HTTP="nowhere").startswith("DROPCOPY_HTTP is wrong")
    assert shell.refused(command, DROPCOPY_LOG="loud").startswith("DROPCOPY_LOG is wrong")


def test_a_database_that_cannot_be_reached_is_one_sentence(shell: Shell) -> None:
    sentence = shell.refused("status", DROPCOPY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert "DROPCOPY_DATABASE_URL" in sentence
    assert "\n" not in sentence


def test_a_queue_that_cannot_be_made_is_one_sentence_without_its_password(shell: Shell) -> None:
    sentence = shell.refused("status", DROPCOPY_QUEUE_URL="postgresql://me:hush-hush@127.0.0.1:1/x")
    assert sentence.startswith("The queue at ")
    assert "DROPCOPY_QUEUE_URL" in sentence
    assert "hush-hush" not in sentence
    assert "\n" not in sentence


def test_the_files_of_the_data_folder_are_for_this_user_alone(shell: Shell) -> None:
    folder = shell.folder / "data"
    folder.mkdir(mode=0o755)
    shell.set_up()
    assert {path.name for path in folder.iterdir() if path.stat().st_mode & 0o077} == set()
    assert {"main.db", "intake.db", "queue.db"} <= {path.name for path in folder.iterdir()}


def test_find_wants_something_to_find(shell: Shell) -> None:
    assert "give --message-id" in shell.refused("find")
    assert "No mail like this" in shell.run("find", "--subject", "x").stdout


def test_find_takes_an_address_or_a_part_of_one(sold: Shell) -> None:
    with connected():
        for ident, sender in enumerate(("ana@sales.example", "susana@sales.example"), 1):
            Outcome.insert(
                inbound_id=ident, state="held", reason="auth-nothing-published", params={}, received_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
                decided_at=dt.datetime(2026, 11, 20, tzinfo=dt.UTC), sender=sender,
            ).execute()  # fmt: skip
    assert [row["id"] for row in sold.json("find", "--sender", "ANA@sales.example", "--json")] == [1]
    assert [row["id"] for row in sold.json("find", "--sender", "sales.exam", "--json")] == [2, 1]
    assert sold.json("find", "--sender", "ana_sales", "--json") == []


# --- explain ------------------------------------------------------------------------------------------------------


def test_an_explained_case_holds_every_key_of_the_public_interface(sold: Shell) -> None:
    (result,) = explained(sold, case(signed(to="Bo <bo@cust.example>, Di <di@new.example>", headers=["Cc: Al <al@cust.example>"])))
    assert (result["id"], result["outcome"], result["reason"]) == ("one", "logged", "logged")
    assert result["sentence"] == "The mail was logged."
    assert result["sender"] == {"name": "Ana", "address": "ana@sales.example"}
    assert result["authentication"]["decision"] == "pass"
    dkim = next(check for check in result["authentication"]["checks"] if check["method"] == "dkim")
    assert {"method": "dkim", "result": "pass", "domain": "sales.example", "aligned": True}.items() <= dkim.items()
    assert dkim["sentence"].endswith(".")
    assert (result["rep"], result["rule"]) == ("ana@sales.example", "account-address")
    message = result["message"]
    assert (message["subject"], message["date"], message["from"]) == ("Ten chairs", "2026-11-20T10:00:00Z", result["sender"])
    assert message["to"] == [{"name": "Bo", "address": "bo@cust.example"}, {"name": "Di", "address": "di@new.example"}]
    assert message["cc"] == [{"name": "Al", "address": "al@cust.example"}]
    assert "<" not in message["message_id"]
    assert (message["attachments"], message["defects"]) == ([], [])
    assert message["text"].startswith("Hello Bo,")
    assert isinstance(message["html"], str)
    assert result["forward"] is None
    assert set(result["thread"]) >= {"key", "joins"}
    assert result["thread"]["joins"] is None
    assert {"address": "bo@cust.example", "new": False} in result["contacts"]
    assert {"address": "di@new.example", "new": True} in result["contacts"]
    links = {(link["kind"], link["external_id"], link["title"]) for link in result["links"]}
    assert links == {
        ("contact", "c1", "Bo"), ("organisation", "o1", "Cust Ltd"), ("deal", "d1", "Ten chairs"), ("contact", None, "Di"), ("contact", None, "Al"),
        ("organisation", None, "new.example"),
    }  # fmt: skip
    assert all(link["because"].endswith(".") for link in result["links"])
    considered = {item["external_id"]: item for item in result["considered"]}
    assert (considered["d2"]["linked"], considered["d2"]["reason"], considered["d2"]["kind"]) == (False, "not-open", "deal")
    assert considered["d2"]["because"].endswith(".")
    assert all(set(step) >= {"step", "outcome", "reason", "sentence"} for step in result["trace"])
    assert {"authenticate", "attribute", "contacts", "link"} <= {step["step"] for step in result["trace"]}


def test_mails_of_one_conversation_that_is_not_here_have_one_key(sold: Shell) -> None:
    root = signed(message_id="<root@sales.example>")
    answer = signed(subject="Re: Ten chairs", message_id="<two@sales.example>", headers=["References: <root@sales.example>"])
    late = signed(subject="Re: Ten chairs", message_id="<three@sales.example>", headers=["In-Reply-To: <two@sales.example>", "References: <root@sales.example> <two@sales.example>"])
    other = signed(message_id="<other@sales.example>")
    results = explained(sold, *(case(raw) for raw in (root, answer, late, other)))
    assert [result["thread"]["key"] for result in results] == ["root@sales.example"] * 3 + ["other@sales.example"]


def test_a_case_says_whether_its_thread_would_wait(sold: Shell) -> None:
    forwarded = case(signed(subject="Fwd: Ten chairs", to="acme-fwd@drop.example"))
    forwarded["arrival"]["rcpt_to"] = ["acme-fwd@drop.example"]
    assert [result["thread"]["waiting"] for result in explained(sold, case(signed()), forwarded)] == [None, "needs-choice"]


def test_what_is_filed_is_what_was_explained(sold: Shell) -> None:
    """Nothing of an explanation is stored."""
    explained(sold, case(signed()))
    with connected():
        assert Inbound.select().count() == Outcome.select().count() == 0
        assert Rep.select().count() == 2


def test_an_attachment_is_told_with_its_hash(sold: Shell) -> None:
    import hashlib

    body = "--b\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n\r\n%PDF\r\n--b--\r\n"
    raw = make_mail(body=body).replace(b"text/plain; charset=utf-8", b"multipart/mixed; boundary=b")
    (result,) = explained(sold, case(spare_signer("sales.example").sign(raw)))
    (found,) = result["message"]["attachments"]
    assert {"filename": "a.pdf", "content_type": "application/pdf", "size": 4, "inline": False, "content_id": None}.items() <= found.items()
    assert found["sha256"] == hashlib.sha256(b"%PDF").hexdigest()


def test_a_forward_is_told_as_claimed(sold: Shell) -> None:
    body = "FYI\n\n---------- Forwarded message ---------\nFrom: Di <di@new.example>\nDate: Fri, 20 Nov 2026 at 09:00\nSubject: Price\nTo: Ana <ana@sales.example>\n\nHow much?\n"
    given = case(signed(subject="Fwd: Price", to="acme-fwd@drop.example", body=body))
    given["arrival"]["rcpt_to"] = ["acme-fwd@drop.example"]
    (result,) = explained(sold, given)
    forward = result["forward"]
    assert set(forward) >= {"client", "language", "from", "to", "cc", "subject", "date", "note", "body", "chain", "evidence"}
    assert (forward["from"], forward["note"], forward["body"], forward["evidence"]) == ({"name": "Di", "address": "di@new.example"}, "FYI", "How much?", "text")
    assert result["contacts"] == [{"address": "di@new.example", "new": True}]
    assert "unreadable" not in forward


def test_a_forward_that_cannot_be_read_says_so(sold: Shell) -> None:
    body = "---------- Forwarded message ---------\nhello\n"
    given = case(signed(subject="Fwd: Price", to="acme-fwd@drop.example", body=body))
    given["arrival"]["rcpt_to"] = ["acme-fwd@drop.example"]
    (result,) = explained(sold, given)
    assert result["forward"] is not None
    assert result["forward"]["unreadable"] is True


@pytest.mark.parametrize(
    "dns, decision, outcome, reason",
    [
        ({}, "hold", "held", None),
        ({"s1._domainkey.sales.example": "TIMEOUT", "sales.example": {"TXT": "SERVFAIL"}}, "retry", "retry", None),
        ({"sales.example": {"TXT": ["v=spf1 -all"]}}, "reject", "ignored", "auth-rejected"),
    ],
)
def test_each_decision_has_its_outcome(sold: Shell, dns: dict[str, Any], decision: str, outcome: str, reason: str | None) -> None:
    raw = signed() if decision == "retry" else make_mail()
    (result,) = explained(sold, case(raw, dns=dns))
    assert (result["authentication"]["decision"], result["outcome"]) == (decision, outcome)
    assert reason is None or result["reason"] == reason
    assert result["rep"] == "ana@sales.example"  # what can be computed is reported
    assert result["contacts"]


def test_missing_fields_are_unknown_and_no_error(sold: Shell) -> None:
    (result,) = explained(sold, {"raw_base64": case(signed())["raw_base64"], "dns": {}})
    assert result["id"] is None
    assert result["outcome"] == "held"
    assert result["sender"]["address"] == "ana@sales.example"


def test_results_come_one_a_line_in_order_also_for_lines_that_are_no_case(sold: Shell) -> None:
    raw = case(signed())["raw_base64"]
    wrong: list[Any] = [
        "not json", "", " \t", "[]", "3", "null", {"id": "none"}, {"id": "b64", "raw_base64": "###"}, {"id": "b64n", "raw_base64": 7}, {"id": "path", "raw_path": "nothing.eml"},
        {"id": "nul", "raw_path": "a\0b"}, {"id": "arrival", "raw_base64": raw, "arrival": "smtp"}, {"id": "from", "raw_base64": raw, "arrival": {"mail_from": 3}},
        {"id": "rcpt", "raw_base64": raw, "arrival": {"rcpt_to": "x@y"}}, {"id": "rcpts", "raw_base64": raw, "arrival": {"rcpt_to": [1]}},
        {"id": "at", "raw_base64": raw, "arrival": {"received_at": "yesterday"}}, {"id": "dns", "raw_base64": raw, "dns": ["x"]},
        {"id": "trust", "raw_base64": raw, "trust": "all"}, {"id": "ids", "raw_base64": raw, "trust": {"authserv_ids": "mx"}}, {"id": "now", "raw_base64": raw, "now": "soon"},
        {"id": "far", "raw_base64": raw, "now": 1e300}, {"id": "yes", "raw_base64": raw, "now": True},
        {"id": "first", "raw_base64": raw, "arrival": {"received_at": "0001-01-01T00:00:00+23:00"}},
    ]  # fmt: skip
    results = explained(sold, *wrong, case(signed()))
    assert [one["id"] for one in results] == [*[one.get("id") if isinstance(one, dict) else None for one in wrong], "one"]
    for one in results[:-1]:
        assert (one["outcome"], one["reason"]) == ("held", "bad-case"), one
        assert one["trace"]
        assert len(one["sentence"]) < 300
    assert results[-1]["outcome"] == "logged"


@pytest.mark.parametrize(
    "more",
    [
        {"trust": {"networks": ["not a network"], "authserv_ids": [""]}}, {"arrival": {"client_ip": "no ip", "helo": "\x00", "mail_from": "@@@", "rcpt_to": [""]}},
        {"arrival": {"source": "pigeon", "rcpt_to": ["acme@drop.example"] * 2000}}, {"arrival": {"mail_from": "\ud800"}}, {"arrival": None, "trust": None, "dns": {}},
    ],
)  # fmt: skip
def test_odd_values_in_a_case_still_give_a_line(sold: Shell, more: dict[str, Any]) -> None:
    results = explained(sold, case(signed(), **more), case(signed()))
    assert [one["outcome"] in ("logged", "held", "ignored", "retry") for one in results] == [True, True]
    assert results[1]["outcome"] == "logged"


def test_what_no_utf8_can_hold_comes_back_as_its_escape(sold: Shell) -> None:
    odd = "id of half a pair \ud800"
    results = explained(sold, case(signed(), id=odd), case(signed()))
    assert [one["id"] for one in results] == [odd, "one"]
    assert results[0]["outcome"] == "logged"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_json_does_not_have_are_no_case(sold: Shell, number: str) -> None:
    results = explained(sold, '{"id": ' + number + ', "raw_base64": "RnJvbTo="}', case(signed()))
    assert (results[0]["id"], results[0]["reason"]) == (None, "bad-case")
    assert results[1]["outcome"] == "logged"


SAID = "dns['sales.example']"


@pytest.mark.parametrize(
    ("records", "place"),
    [
        (7, SAID), (None, SAID), (True, SAID), ("NXDOMAIN", SAID), (["v=spf1 -all"], SAID), ({"TXTT": ["x"]}, SAID), ({"": ["x"]}, SAID),
        ({"TXT": 7}, f"{SAID}.TXT"), ({"TXT": "v=spf1 -all"}, f"{SAID}.TXT"), ({"TXT": None}, f"{SAID}.TXT"), ({"txt": ["x", 3]}, f"{SAID}.txt[1]"), ({"TXT": [["a", 1]]}, f"{SAID}.TXT[0]"),
        ({"MX": ["broken"]}, f"{SAID}.MX[0]"), ({"MX": [["ten", "mx.example"]]}, f"{SAID}.MX[0]"), ({"A": ["192.0.2.1", "2001:db8::1"]}, f"{SAID}.A[1]"), ({"AAAA": ["192.0.2.1"]}, f"{SAID}.AAAA[0]"),
        ({"CNAME": [1]}, f"{SAID}.CNAME[0]"),
    ],
)  # fmt: skip
def test_a_wrong_answer_of_the_dns_is_refused_with_its_place(sold: Shell, records: Any, place: str) -> None:
    """Taken for "nothing published" it would give another decision, and nobody would know why."""
    wrong, right = explained(sold, case(signed(), dns={"sales.example": records}), case(signed()))
    assert (wrong["outcome"], wrong["reason"]) == ("held", "bad-case")
    assert f"{place}: " in wrong["sentence"], wrong["sentence"]
    assert right["outcome"] == "logged"


def test_every_form_of_an_answer_of_the_dns_is_taken(sold: Shell) -> None:
    more = {
        "a.example": "SERVFAIL", "b.example": "timeout", "c.example": {}, "d.example": {"TXT": []}, "e.example": {"TXT": "TIMEOUT", "A": "SERVFAIL"}, "f.example": {"TXT": [["two ", "halves"]]},
        "g.example": {"MX": [[10, "mx.example."], ["0", "."]]}, "h.example": {"mx": ["10 mx.example"]}, "i.example": {"A": ["192.0.2.1"], "AAAA": ["2001:db8::1"], "CNAME": ["x.example"]},
        "2.0.192.in-addr.arpa": {"PTR": ["mail.example"]}, "j.example": {"SOA": ["anything"], "TYPE99": [1], "DS": [{}]},
    }  # fmt: skip
    (result,) = explained(sold, case(signed(), dns={**spare_signer("sales.example").dns, **more}))
    assert result["outcome"] == "logged", result["sentence"]


def test_one_file_is_explained_with_the_envelope_from_the_options(sold: Shell) -> None:
    (sold.folder / "one.eml").write_bytes(make_mail())
    result = sold.json("explain", str(sold.folder / "one.eml"), "--mail-from", "ana@sales.example", "--rcpt", "acme@drop.example", "--source", "imap")
    assert (result["id"], result["sender"]["address"]) == (str(sold.folder / "one.eml"), "ana@sales.example")


@pytest.mark.parametrize("options", [[], ["--mail-from", "ana@sales.example"], ["--mail-from", "ana@sales.example", "--helo", "mail.sales.example"]])
def test_a_mail_that_is_explained_without_a_client_address_says_so(sold: Shell, options: list[str]) -> None:
    (sold.folder / "one.eml").write_bytes(make_mail())
    judged = sold.json("explain", str(sold.folder / "one.eml"), "--rcpt", "acme@drop.example", *options)["authentication"]
    assert (judged["decision"], judged["reason"]) == ("hold", "auth-client-not-given")
    assert "SPF was not looked at" in judged["sentence"]
    fetched = sold.json("explain", str(sold.folder / "one.eml"), "--rcpt", "acme@drop.example", "--source", "imap")
    assert fetched["authentication"]["reason"] == "auth-mailbox-unproved"
    assert "--client-ip" in next(step["remedy"] for step in sold.json("explain", str(sold.folder / "one.eml"))["trace"] if step["reason"] == "auth-client-not-given")


def test_explain_without_a_file_or_with_a_missing_one_is_one_sentence(shell: Shell) -> None:
    assert "name a mail file" in shell.refused("explain")
    assert "no such file" in shell.refused("explain", str(shell.folder / "no.eml"))
    assert "no such file" in shell.refused("explain", "--cases", str(shell.folder / "no.jsonl"))
    assert "no IP address" in shell.refused("explain", str(shell.folder / "no.eml"), "--client-ip", "192.0.2.300")
