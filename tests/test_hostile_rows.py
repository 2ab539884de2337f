"""Every row of the hostile corpus, one by one: the mails here through `explain`, the others by the tests that show them.

`SHOWN` names for each row the tests elsewhere in this project whose subject it is; a name that no longer exists fails here.
"""

from __future__ import annotations

import ast
import base64
import csv
import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.explain import Explainer
from tests.conftest import ROOT, corpora_folder, missing
from tests.judge_house import explaining
from tests.mail.oracles import active
from tests.mailmaker import Signer, make_mail, spare_signer

pytestmark = [pytest.mark.corpora, pytest.mark.timeout(300)]

Result = dict[str, Any]


@pytest.fixture(scope="module")
def explainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explainer]:
    with explaining(tmp_path_factory.mktemp("rows")) as made:
        yield made


# --- what a row asks of the result ---------------------------------------------------------------------------------


def ends(*wanted: str, sender: str | None = "rep@sender.example") -> Callable[[Result], bool]:
    """Any of these "outcome reason", and this sender (never another)."""
    return lambda r: f"{r['outcome']} {r['reason']}" in wanted and (r["sender"] or {}).get("address") == sender


def both(*wanted: Callable[[Result], bool]) -> Callable[[Result], bool]:
    return lambda r: all(one(r) for one in wanted)


def defect(code: str) -> Callable[[Result], bool]:
    return lambda r: any(found.startswith(code) for found in r["message"]["defects"])


def files(*names: str) -> Callable[[Result], bool]:
    return lambda r: [one["filename"] for one in r["message"]["attachments"]] == list(names)


def found(code: str) -> Callable[[Result], bool]:
    return lambda r: any(step["reason"] == code for step in r["trace"])


def harmless(r: Result) -> bool:
    """Nothing of the shown HTML acts, names a thing of the page or asks anybody for anything by itself."""
    return active(r["message"]["html"]) == []


LOGGED = ends("logged logged")
SHOWS_NOTHING = both(LOGGED, harmless)
CUT = ends("held too-complex")

MAILS: dict[str, Callable[[Result], bool]] = {
    "H001": ends("held multiple-from", sender=None),
    "H005": LOGGED,  # the angle address, and it is that which SPF proves
    "H006": ends("held multiple-from", sender=None),
    "H007": LOGGED,
    "H008": ends("held bad-from", sender=None),
    "H011": ends("held no-from", sender=None),
    "H012": ends("held no-from", sender=None),
    "H014": both(ends("ignored auth-rejected", sender="x@evil.example"), lambda r: re.search("[\u202a-\u202e\u2066-\u2069]", r["sender"]["name"]) is None),
    "H015": ends("held bad-from", sender=None),
    "H016": both(ends("ignored auth-rejected"), found("spf-fail")),
    "H022": both(CUT, lambda r: 5 <= sum(one["method"] == "dkim" for one in r["authentication"]["checks"]) <= 10),
    "H032": both(CUT, defect("too-complex")),
    "H038": ends("held bad-from", sender=None),
    "H040": CUT,
    "H043": both(LOGGED, lambda r: r["message"]["message_id"] is None),  # the house goes by the content: see the dedupe tests
    "H048": both(ends("held nul-in-header"), lambda r: "\0" not in json.dumps(r) and "\\u0000" not in json.dumps(r)),
    "H049": SHOWS_NOTHING,
    **dict.fromkeys(("H057", "H058", "H059", "H063", "H064", "H066", "H067", "H068", "H071", "H073", "H074", "H075", "H077", "H078", "H081", "H083", "H084", "H085", "H086"), SHOWS_NOTHING),
    "H087": both(LOGGED, lambda r: r["message"]["subject"] == "<img src=x onerror=alert(1)>"),  # kept as it is; escaped by the pages
    "H089": both(LOGGED, files("<img src=x onerror=alert(1)>.txt")),
    "H108": ends("held machine-mail"),
    "H109": ends("held machine-mail"),
    "H110": LOGGED,
    "H113": ends("ignored loop"),
}  # fmt: skip

# Too large to keep: made by the corpus's own generator. What is not here is made by no row.
BOMBS: dict[str, tuple[str, Callable[[Result], bool]]] = {
    "H033": ("parts1M", both(LOGGED, defect("parts-cut"))),
    "H034": ("parts100k", both(LOGGED, defect("parts-cut"))),
    "H035": ("headers100k", CUT),
    "H036": ("fold_subject_1MB", both(CUT, lambda r: len(r["message"]["subject"]) <= 2000)),
    "H041": ("ct_params20k", LOGGED),
    "H044": ("empty_lines_19MB", both(LOGGED, defect("text-cut"))),
    "H050": ("b64_bad_5MB", both(LOGGED, lambda r: len(r["message"]["attachments"]) == 1, defect("bad-encoding"))),
    "H051": ("zip_bomb", both(LOGGED, files("42.zip"))),
    "H054": ("exactly_20MiB", LOGGED),
    "H056": ("attachments10k", both(LOGGED, lambda r: len(r["message"]["attachments"]) == 500, defect("attachments-cut:9501"))),
}  # fmt: skip

# Rows in words, made into mails here.
SALES: dict[str, Any] = {"sender.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}, "evil.example": {"TXT": ["v=spf1 ip4:192.0.2.0/24 -all"]}}
REP = "Rep <rep@sender.example>"
BLOCK = "---------- Forwarded message ---------\r\nFrom: {who}\r\nDate: Mon, Mar 2, 2026 at 9:00 AM\r\nSubject: Ten chairs\r\nTo: <rep@sender.example>\r\n\r\nThe text.\r\n"


def attached(name: str, kind: str = "application/octet-stream", content: bytes = b"<script>alert(1)</script>") -> bytes:
    head = make_mail(REP, headers=["X-Kind: file"]).partition(b"Content-Type")[0]
    coded = base64.b64encode(content)
    return head + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: " + kind.encode() + (
        b'\r\nContent-Disposition: attachment; filename="' + name.encode() + b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + coded + b"\r\n--b--\r\n"
    )


def signed(signer: Signer, **more: Any) -> dict[str, Any]:
    return {"raw": signer.sign(make_mail(REP), **more), "dns": {**signer.dns}, "client_ip": "203.0.113.9"}


@functools.cache
def made() -> dict[str, tuple[dict[str, Any], Callable[[Result], bool]]]:
    """Row -> (mail and arrival, what must become of it)."""
    signer = spare_signer("sender.example")
    rejected = ends("ignored auth-rejected")
    old, late = "1772300000", "1772452000"  # before and after the arrival of 2026-03-02T10:00:05Z
    huge = "v=DKIM1; k=rsa; p=" + base64.b64encode(b"\x30\x82\x08\x22" + bytes(2082)).decode()
    return {
        "H018": ({"raw": make_mail(REP), "mail_from": "x@evil.example", "client_ip": "192.0.2.10"}, both(rejected, found("spf-pass-unaligned"))),
        "H020": (signed(Signer("sender.example", bits=1024), hash_name="sha1"), rejected),
        "H021": (signed(Signer("sender.example", record=huge)), rejected),
        "H024": (signed(signer, tags={"t": old, "x": str(int(old) + 60)}), both(rejected, found("dkim-expired"))),
        "H024, dated in the future": (signed(signer, tags={"t": late}), both(rejected, found("dkim-in-future"))),
        "H092": ({"raw": attached("../../../../etc/cron.d/x")}, files("x")),
        "H093": ({"raw": attached("C:\\\\Windows\\\\x.dll")}, files("x.dll")),
        "H095": ({"raw": attached("\u200b.htaccess")}, files("htaccess")),
        "H096": ({"raw": attached("invoice\u202efdp.exe")}, files("invoicefdp.exe")),
        "H098": ({"raw": attached("a.pdf\0.exe")}, files("a.pdf.exe")),
        "H100": ({"raw": attached("x.html", "text/html")}, both(files("x.html"), harmless)),
        "H101": ({"raw": attached("x.svg", "image/svg+xml", b"<svg onload=alert(1)>")}, both(files("x.svg"), harmless)),
        "H103": ({"raw": attached("x.pdf", "application/pdf")}, files("x.pdf")),
        "H104": ({"raw": attached("x.png", "image/png")}, files("x.png")),
        "H119": ({"raw": make_mail(REP, subject="=?utf-8?q?x=0D=0ABcc:_evil=40x?=")}, both(LOGGED, lambda r: not re.search("[\r\n]", r["message"]["subject"]))),
        "H122": ({"raw": make_mail(REP), "rcpt_to": ["r-abcdefghijklmnop@crm.example"]}, both(ends("held no-drop-address"), lambda r: not any(one["kind"] == "deal" for one in r["links"]))),
        "H125": ({"raw": make_mail(REP, to="drop@crm.example, Bo <bo@cust.example>")}, both(LOGGED, lambda r: [one["address"] for one in r["contacts"]] == ["bo@cust.example"])),
        "H188": ({"raw": make_mail(REP, body="Fwd\r\n\r\nFrom:" + " " * 100_000 + "\r\n"), "rcpt_to": ["drop-fwd@crm.example"]}, ends("held forward-unreadable", "logged logged")),
        "H190": ({"raw": make_mail("Eve <eve@evil.example>", body=BLOCK.format(who="Bo <bo@cust.example>")), "mail_from": "eve@evil.example", "rcpt_to": ["drop-fwd@crm.example"]},
                 ends("held unattributed", sender="eve@evil.example")),
        "H191": ({"raw": make_mail(REP, to="drop-fwd@crm.example", body=BLOCK.format(who="Rep <rep@sender.example>").replace("To: <rep@sender.example>", "To: <bo@cust.example>")), "rcpt_to": ["drop-fwd@crm.example"]},
                 lambda r: r["rep"] == "rep@sender.example" and all(one["address"] != "rep@sender.example" for one in r["contacts"])),
        "H192": ({"raw": make_mail(REP, to="drop-fwd@crm.example", body=BLOCK.format(who="drop@crm.example")), "rcpt_to": ["drop-fwd@crm.example"]},
                 lambda r: r["outcome"] == "ignored" and not r["contacts"]),
        "H195": ({"raw": make_mail(REP, to="drop-fwd@crm.example", html="<div>---------- Forwarded message ---------<br>From: <b>Bo</b> &lt;bo@cust.example&gt;<br>Date: Mon, Mar 2, 2026 at 9:00 AM<br>"
                            "Subject: Ten chairs<br>To: &lt;rep@sender.example&gt;<br></div><br>The text."), "rcpt_to": ["drop-fwd@crm.example"]},
                 both(LOGGED, lambda r: r["forward"]["from"]["address"] == "bo@cust.example")),
        "H196": ({"raw": make_mail(REP, to="drop-fwd@crm.example", body="").replace(b"Content-Type: text/plain; charset=utf-8", b"Content-Type: message/rfc822")
                  + spare_signer("evil.example").sign(make_mail("Ceo <ceo@victim.example>", to="rep@sender.example")), "dns": spare_signer("evil.example").dns, "rcpt_to": ["drop-fwd@crm.example"]},
                 lambda r: r["rep"] == "rep@sender.example" and r["forward"]["from"]["address"] == "ceo@victim.example"),
        "H197": ({"raw": make_mail(REP, to="drop-fwd@crm.example", body=BLOCK.format(who="<javascript:alert(1)>")), "rcpt_to": ["drop-fwd@crm.example"]},
                 both(found("forward-unreadable"), lambda r: not r["contacts"] and not r["links"])),  # it waits for a person, see test_forwards_filed
    }  # fmt: skip


# --- rows that other tests show ------------------------------------------------------------------------------------

SHOWN: dict[str, tuple[str, ...]] = {
    "H014": ("test_the_display_name_is_nobody",),
    "H016": ("test_a_forged_mail_with_a_large_attachment_makes_no_notice",),
    "H020": ("test_short_keys_are_refused_by_both", "test_sha1_never_counts"),
    "H021": ("test_huge_keys_are_refused_before_any_arithmetic",),
    "H022": ("test_a_thousand_signatures_are_bounded", "test_at_most_eight_signatures_are_judged_and_the_body_is_read_once"),
    "H025": ("test_the_same_mail_again_is_a_duplicate_and_joins_its_drop_addresses",),
    "H028": ("test_another_rep_s_thread_is_never_joined",),
    "H044": ("test_twenty_megabytes_of_anything_stay_below_two_hundred_megabytes",),
    "H054": ("test_a_mail_of_exactly_the_limit_passes_and_one_octet_more_does_not", "test_a_mail_over_the_limit_is_refused_for_good"),
    **dict.fromkeys(
        ("H057", "H058", "H059", "H063", "H064", "H066", "H067", "H068", "H071", "H073", "H074", "H075", "H077", "H078", "H081", "H083", "H084", "H085", "H086"),
        ("test_the_hostile_mails_of_the_corpus_act_on_nothing_in_a_browser",),
    ),
    "H087": ("test_markup_in_subjects_names_and_files_acts_on_no_page",),
    "H089": ("test_markup_in_subjects_names_and_files_acts_on_no_page",),
    **dict.fromkeys(("H092", "H093", "H095", "H096", "H098", "H100", "H101", "H103", "H104"), ("test_attachments_are_downloads_whatever_they_say_they_are",)),
    "H106": ("test_a_picture_is_looked_for_in_its_own_mail_only",),
    **dict.fromkeys(("H108", "H109", "H110", "H113"), ("test_a_machine_or_a_list_is_never_answered",)),
    "H115": ("test_a_forged_mail_with_a_large_attachment_makes_no_notice",),
    "H116": ("test_our_own_notice_that_comes_back_is_ignored",),
    "H117": ("test_two_houses_that_face_each_other_send_one_mail_each_at_most",),
    "H119": ("test_an_encoded_line_break_in_the_subject_adds_no_field",),
    "H123": ("test_what_is_unknown_retired_or_foreign_gets_one_and_the_same_answer",),
    "H124": ("test_what_is_unknown_retired_or_foreign_gets_one_and_the_same_answer", "test_a_changed_slug_keeps_the_old_address_for_the_grace_period"),
    "H128": ("test_a_request_without_proof_is_not_believed",),
    "H129": ("test_a_malformed_signature_is_not_believed", "test_another_body_under_the_same_signature_is_not_believed"),
    "H130": ("test_a_request_with_another_source_s_secret_is_not_believed",),
    "H131": ("test_a_signature_six_minutes_off_is_not_believed",),
    "H132": ("test_a_signature_six_minutes_off_is_not_believed",),
    "H134": ("test_fifty_requests_at_once_with_one_key_are_one_mail",),
    "H138": ("test_an_ed25519_signature_is_never_compared_with_a_shared_secret",),
    "H140": ("test_a_request_that_says_it_is_too_long_is_refused_before_it_comes",),
    "H142": ("test_a_compressed_body_is_not_taken",),
    "H144": ("test_json_that_is_nested_without_end_is_a_bad_request_and_never_a_fault",),
    "H145": ("test_a_confirmation_elsewhere_is_refused_and_nothing_is_asked",),
    "H146": ("test_a_certificate_from_elsewhere_is_refused_and_nothing_is_asked",),
    "H147": ("test_a_certificate_from_elsewhere_is_refused_and_nothing_is_asked",),
    "H148": ("test_a_redirect_in_place_of_the_certificate_is_not_followed",),
    "H150": ("test_no_stored_message_is_ever_fetched", "test_no_address_of_the_house_is_ever_asked"),
    "H153": ("test_it_is_kept_before_the_answer", "test_a_temporary_fault_makes_it_come_again"),
    "H154": ("test_a_foreign_id_looks_like_a_missing_one",),
    "H155": ("test_another_reps_private_mail_shows_nowhere",),
    "H157": ("test_what_is_private_is_found_by_its_owner_alone",),
    "H159": ("test_another_rep_gets_what_the_matrix_says_and_never_the_private_mail", "test_every_route_of_the_app_stands_in_the_matrix"),
    "H160": ("test_another_reps_private_mail_shows_nowhere", "test_a_record_s_page_shows_readable_mail_only"),
    "H161": ("test_a_mail_that_is_added_changes_nobodys_sight",),
    "H164": ("test_a_form_without_the_token_of_its_session_is_refused",),
    "H166": ("test_the_session_gets_a_new_id_and_a_new_csrf_token",),
    "H167": ("test_changing_the_password_ends_every_other_session", "test_a_session_dies_at_signing_out_even_for_who_kept_its_cookie"),
    "H168": ("test_the_eleventh_try_is_too_many", "test_tries_are_counted_for_the_client_too", "test_a_wrong_password_and_an_unknown_account_are_answered_alike"),
    "H169": ("test_a_link_never_goes_where_the_request_says",),
    "H170": ("test_a_password_link_works_once",),
    "H174": ("test_what_a_stranger_adds_to_an_address_or_a_form_counts_for_nothing",),
    "H175": ("test_whatever_is_typed_nothing_raises",),
    "H177": ("test_a_hostile_pattern_costs_no_more_than_its_length",),
    "H179": ("test_a_file_name_cannot_break_out_of_its_header",),
    "H181": ("test_every_answer_carries_a_strict_policy_with_a_fresh_nonce", "test_a_mail_body_has_a_frame_and_a_policy_of_its_own"),
    "H184": ("test_templates_use_htmx_only_as_far_as_it_is_safe",),
    "H185": ("test_what_a_stranger_adds_to_an_address_or_a_form_counts_for_nothing",),
    "H186": ("test_no_page_takes_a_plugin",),
    "H197": ("test_a_forward_that_cannot_be_read_waits_and_nobody_is_guessed",),
    "H188": ("test_four_times_the_input_takes_about_four_times_the_work",),
    "H199": ("test_no_acknowledged_mail_is_lost_or_doubled_when_processes_are_killed",),
    "H200": ("test_no_acknowledged_mail_is_lost_or_doubled_when_processes_are_killed",),
    "H202": ("test_no_acknowledged_mail_is_lost_or_doubled_when_processes_are_killed",),
    "H203": ("test_no_acknowledged_mail_is_lost_when_the_power_is_cut", "test_without_syncs_the_harness_sees_mail_lost"),
    "H205": ("test_a_full_disk_refuses_mail_for_now_lets_people_read_and_is_over_when_there_is_room",),
    "H206": ("test_failing_syncs_refuse_mail_for_now_and_mark_the_process_until_they_work", "test_after_one_failed_sync_nothing_is_acknowledged_before_the_whole_log_is_in_the_file"),
    "H210": ("test_nobody_waits_for_times_of_a_clock_that_was_a_year_ahead", "test_a_lease_is_held_by_one"),
    "H208": ("test_mail_is_filed_while_the_queue_is_gone", "test_a_failing_wake_up_loses_no_mail"),
    "H209": ("test_dns_trouble_waits_and_backs_off_and_is_held_at_last", "test_a_dead_dns_is_trouble_and_no_failure"),
    "H212": ("test_a_mail_is_taken_at_once_beside_ten_thousand_idle_connections", "test_two_thousand_idle_connections_are_cheap_and_a_mail_still_passes", "test_a_silent_client_is_sent_away"),
    "H217": ("test_mail_that_waits_while_a_new_version_is_installed_is_filed_by_it",),
    "H214": ("test_a_mail_that_creeps_is_cut_and_others_are_not",),
}  # fmt: skip


# --- the tests -----------------------------------------------------------------------------------------------------


@functools.cache
def rows() -> dict[str, dict[str, str]]:
    path = corpora_folder() / "hostile" / "hostile.csv"
    return {row["id"]: row for row in csv.DictReader(path.read_text("utf-8").splitlines())} if path.is_file() else {}


def test_each_of_the_131_rows_has_its_place(corpora: Path) -> None:
    covered = {*MAILS, *BOMBS, *(name[:4] for name in made()), *SHOWN}
    assert len(rows()) == 131
    assert covered == set(rows())
    cases = {json.loads(line)["id"] for line in (corpora / "hostile" / "cases.jsonl").read_text("utf-8").splitlines()}
    assert cases == set(MAILS)


def test_what_is_shown_elsewhere_is_a_test(corpora: Path) -> None:
    names = {
        node.name
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert {row: sorted(set(tests) - names) for row, tests in SHOWN.items() if set(tests) - names} == {}


@pytest.mark.parametrize("row", MAILS)
def test_a_mail_of_the_corpus_ends_as_its_row_says(explainer: Explainer, corpora: Path, row: str) -> None:
    folder = corpora / "hostile"
    case = next(case for case in map(json.loads, (folder / "cases.jsonl").read_text("utf-8").splitlines()) if case["id"] == row)
    result = explainer.case(case, folder)
    assert MAILS[row](result), (rows()[row]["expected"], brief(result))


@pytest.mark.parametrize("row", BOMBS)
def test_a_large_mail_ends_as_its_row_says(explainer: Explainer, corpora: Path, tmp_path: Path, row: str) -> None:
    name, right = BOMBS[row]
    assert f"make_bombs.py {name}" in rows()[row]["input"]
    subprocess.run([sys.executable, str(corpora / "hostile" / "make_bombs.py"), str(tmp_path), name], check=True)
    result = explainer.case(case_of({"raw": (tmp_path / f"{name}.eml").read_bytes()}), tmp_path)
    assert right(result), (rows()[row]["expected"], brief(result))


@pytest.mark.parametrize("row", made())
def test_a_row_in_words_ends_as_it_says(explainer: Explainer, corpora: Path, tmp_path: Path, row: str) -> None:
    given, right = made()[row]
    result = explainer.case(case_of(given), tmp_path)
    assert right(result), (rows()[row[:4]]["expected"], brief(result))


def case_of(given: dict[str, Any]) -> dict[str, Any]:
    """A case of `explain`: from the rep's own server unless something else is given."""
    arrival = {
        "source": "smtp", "client_ip": given.get("client_ip", "192.0.2.10"), "helo": "mail.sender.example", "mail_from": given.get("mail_from", "rep@sender.example"),
        "rcpt_to": given.get("rcpt_to", ["drop@crm.example"]), "received_at": "2026-03-02T10:00:05Z",
    }  # fmt: skip
    return {"id": "made", "raw_base64": base64.b64encode(given["raw"]).decode(), "arrival": arrival, "dns": {**SALES, **given.get("dns", {})}, "now": 1772445605}


def brief(result: Result) -> str:
    message = result["message"] or {}
    shown = {key: message.get(key) for key in ("subject", "defects", "attachments")}
    return json.dumps(
        {**{key: result[key] for key in ("outcome", "reason", "sender", "rep", "contacts", "forward")}, **shown, "html": (message.get("html") or "")[:500], "trace": [one["reason"] for one in result["trace"]]}
    )[:3000]


if not rows():

    @pytest.fixture(autouse=True)
    def _without_the_corpus() -> None:
        missing("the hostile corpus")
