"""Search finds what its reader may see, whatever is typed."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput
from core.store import search, threads
from core.store.database import main_db, run_sql
from core.store.visibility import Viewer
from tests.store.small_world import START, World


def found(viewer: Viewer, q: str, **more: object) -> list[str]:
    return [row.subject for row in threads.page(viewer, q=q, **more).items]


@pytest.fixture
def company(any_store: World) -> tuple[World, Viewer, Viewer]:
    return any_store, any_store.rep("ana"), any_store.rep("bo")


def test_words_phrases_exclusions_and_alternatives(company):
    world, ana, _ = company
    world.mail(ana, "Ten green chairs and one table", subject="one")
    world.mail(ana, "A green lamp", subject="two")
    assert found(ana, "green") == ["two", "one"]
    assert found(ana, "green chairs") == ["one"]
    assert found(ana, '"green lamp"') == ["two"]
    assert found(ana, '"lamp green"') == []
    assert found(ana, "green -chairs") == ["two"]
    assert found(ana, "chairs OR lamp") == ["two", "one"]
    assert found(ana, "(chairs OR lamp) -table") == ["two"]
    assert found(ana, "-chairs") == ["two"]
    assert found(ana, "gre*") == ["two", "one"]
    assert found(ana, "gre") == []
    assert found(ana, "") == ["two", "one"]


def test_accents_case_and_width_do_not_matter(company):
    world, ana, _ = company
    world.mail(ana, "Stühle für die Straße in Łódź", subject="de")
    for typed in ("stuhle", "STÜHLE", "strasse", "lodz", "ｓｔｕｈｌｅ"):
        assert found(ana, typed) == ["de"], typed


@pytest.mark.parametrize("subject", ["東京支店の見積書", "한국어견적서요청", "ผู้ใหญ่บ้านใหม่", "请把报价单发给北京办事处"])
def test_every_two_letters_of_a_subject_without_spaces_find_it(company, subject):
    world, ana, _ = company
    world.mail(ana, "text", subject=subject)
    world.mail(ana, "text", subject="other")
    for at in range(len(subject) - 1):
        assert found(ana, subject[at : at + 2]) == [subject], subject[at : at + 2]


def test_one_letter_of_such_a_script_finds_it(company):
    world, ana, _ = company
    world.mail(ana, "京都の見積", subject="k")
    assert found(ana, "京") == ["k"]
    assert found(ana, "積") == ["k"]


def test_what_is_private_is_found_by_its_owner_alone(company):
    world, ana, bo = company
    eve = world.rep("eve", "admin")
    world.mail(ana, "secret alpha", subject="hers")
    world.mail(bo, "alpha too", subject="his")
    world.mail(ana, "alpha for all", subject="shared", sharing="company")
    assert found(bo, "alpha") == ["shared", "his"]
    assert found(eve, "alpha") == ["shared"]
    for typed in ('alpha OR "o1"', "alpha OR zzz", "o1", "access:o1", "{access}: o1", "shared", '"o1 shared"', "#o1", "zqfana", "-zzz", "-alpha OR -zzz", "NOT zzz"):
        assert "hers" not in found(bo, typed), typed
        assert "hers" not in found(eve, typed), typed


def test_sharing_and_deleting_take_effect_in_the_index_at_once(company):
    world, ana, bo = company
    mail = world.mail(ana, "alpha", subject="hers")
    assert found(bo, "alpha") == []
    threads.set_sharing(ana, mail.thread_id, "company")
    assert found(bo, "alpha") == ["hers"]
    threads.set_sharing(ana, mail.thread_id, "private")
    assert found(bo, "alpha") == []
    threads.delete_thread(ana, mail.thread_id)
    assert found(ana, "alpha") == []
    threads.restore_thread(ana, mail.thread_id)
    assert found(ana, "alpha") == ["hers"]


def test_people_are_found_by_address_domain_and_name(company):
    world, ana, _ = company
    world.mail(ana, "hi", subject="to cy", to=(("Cy Müller", "cy@cust.example"),))
    world.mail(ana, "hi", subject="to di", to=(("Di", "di@cust.example.org"),))
    assert found(ana, "to:cy@cust.example") == ["to cy"]
    assert found(ana, "to:@cust.example") == ["to cy"]
    assert found(ana, 'to:"cy muller"') == ["to cy"]
    assert found(ana, "to:CY@CUST.EXAMPLE") == ["to cy"]
    assert found(ana, "from:cy@cust.example") == []
    assert found(ana, "from:ana") == ["to di", "to cy"]
    assert found(ana, "from:ana -to:di") == ["to cy"]
    assert found(ana, "cust.example") == ["to di", "to cy"]


def test_operators_of_the_search_box(company):
    world, ana, _ = company
    deal = world.record("Ten chairs")
    first = world.mail(ana, "alpha", subject="Angebot chairs", files=("Offer 2026.pdf",))
    world.later(days=10)
    second = world.mail(ana, "alpha chairs", subject="later")
    world.policy_link(second.thread_id, deal)
    assert found(ana, "subject:chairs") == ["Angebot chairs"]
    assert found(ana, "filename:offer") == ["Angebot chairs"]
    assert found(ana, "has:attachment") == ["Angebot chairs"]
    assert found(ana, "-has:attachment") == ["later"]
    assert found(ana, "alpha has:link") == ["later"]
    assert found(ana, "is:unlinked") == ["Angebot chairs"]
    assert found(ana, "is:linked alpha") == ["later"]
    assert found(ana, f"deal:{deal}") == ["later"]
    assert found(ana, 'deal:"ten ch"') == ["later"]
    assert found(ana, "deal:ten OR has:attachment") == ["later", "Angebot chairs"]
    assert found(ana, "before:2026-03-05") == ["Angebot chairs"]
    assert found(ana, "after:2026-03-02 before:2026-03-03 alpha") == ["Angebot chairs"]
    assert found(ana, "after:2026-03-05") == ["later"]
    assert found(ana, "older_than:1d") == ["later", "Angebot chairs"]
    assert found(ana, "is:unread") == ["later", "Angebot chairs"]
    threads.mark_seen(ana, first.thread_id)
    assert found(ana, "is:unread") == ["later"]
    threads.archive(ana, [first.thread_id])
    assert found(ana, "is:archived", tab="archived") == ["Angebot chairs"]


def test_old_mail_that_comes_late_is_found_by_its_time(company, monkeypatch):
    world, ana, _ = company
    monkeypatch.setattr(search.dialect, "_STRETCH", 4)
    for number in range(40):
        old = number % 9 == 7  # somewhere in its stretch, not at the beginning of it
        world.mail(ana, "alpha", subject=f"{number} {'old' if old else 'new'}", date=START - dt.timedelta(days=500) if old else None)
    day = (START - dt.timedelta(days=400)).date()
    for asked in (f"alpha before:{day}", f"before:{day}", f"alp* before:{day}"):
        assert found(ana, asked) == ["34 old", "25 old", "16 old", "7 old"], asked


BEGINNINGS = ["alp*", "-alp*", "-alp* -beta", "is:unread -(alp* OR gamma)", "alp* beta", "beta alp*", "-beta alp*", "alp* -gamma", "subject:alp*", "to:cy*", "alp* to:cy*", "alp* OR beta", "alp* is:unread", "zzz*", "東", "東 -京", "alp* filename:off*"]


@pytest.mark.parametrize("sparse, most", [(0, 600), (3, 600), (1000, 12), (1000, 600)])
def test_a_beginning_is_looked_for_in_the_newest_mails_and_finds_what_the_index_finds(company, monkeypatch, sparse, most):
    world, ana, bo = company
    texts = ["alpha", "alpine beta", "(alps) gamma", "x-alpaca", "scalpel", "ébalp", "Ünder alpé", "beta", "東京", "東海 alp", "a_alpha_b"]
    texts.append("beta\0alpha" if search.dialect.is_sqlite() else "beta alpha")  # PostgreSQL keeps no NUL
    people = [world.contact("Cyrus"), world.contact("Di")]
    for number in range(60):
        of = {"contact": people[number % 5 % 2], "files": ("Offer.pdf",) if number % 4 == 0 else ()}
        world.mail(bo if number % 3 == 0 else ana, texts[number % 12], subject=f"{texts[number * 7 % 11]} {number}", **of)

    def pages(typed: str) -> list[list[str]]:
        answers, cursor = [], None
        while True:
            page = threads.page(ana, q=typed, cursor=cursor, limit=4)
            answers.append([row.subject for row in page.items])
            cursor = page.next
            if cursor is None:
                return answers

    with monkeypatch.context() as index_alone:
        index_alone.setattr(search.dialect, "is_slow", lambda wanted: False)
        expected = {typed: pages(typed) for typed in BEGINNINGS}
    assert len(expected["alp*"]) > 5
    monkeypatch.setattr(search, "_SPARSE", sparse)
    monkeypatch.setattr(search, "_MOST_LOOKED_THROUGH", most)
    monkeypatch.setattr(search, "_CHUNK", 5)
    monkeypatch.setattr(search.dialect, "_READ_AT_ONCE", 3)
    assert {typed: pages(typed) for typed in BEGINNINGS} == expected


@pytest.mark.parametrize("typed", ["alpha -alpha", "-alpha beta alpha", "alp* -alp*", '"alpha beta" -"alpha beta"'])
def test_a_search_that_contradicts_itself_looks_at_nothing(company, monkeypatch, typed):
    world, ana, _ = company
    world.mail(ana, "alpha beta", subject="a")
    monkeypatch.setattr(search, "_collect", lambda *_: pytest.fail("it looks"))
    assert found(ana, typed) == []


def test_looking_through_mails_ends_with_the_patience_too(company):
    world, ana, _ = company
    mail = world.mail(ana, "alpha", subject="a")
    beginning = search.dialect.Phrase(("alp",), beginning=True)
    if not search.dialect.is_slow(beginning):
        return  # PostgreSQL's own index answers
    with search.dialect.patience(5):
        assert search.dialect.that_begin([mail.id], [beginning]) == [mail.id]
    with pytest.raises(search.dialect.TooSlow), search.dialect.patience(-1):
        search.dialect.that_begin([mail.id], [beginning])
    assert search.dialect.that_begin([mail.id], [beginning]) == [mail.id]


def test_tidying_makes_one_part_of_the_index_and_others_write_meanwhile(company, monkeypatch):
    world, ana, _ = company
    for number in range(30):
        world.mail(ana, "alpha " + " ".join(f"word{number}x{at}" for at in range(300)), subject=str(number))
    everything = found(ana, "alpha", limit=50)
    if not search.dialect.is_sqlite():
        assert search.dialect.tidy() == 0
        return
    parts = _parts_of_the_index()
    monkeypatch.setattr(search.dialect, "_TIDIED", 1)
    monkeypatch.setattr(search.dialect.time, "sleep", lambda seconds: world.mail(ana, "beta", subject="meanwhile") if not found(ana, "beta") else None)
    assert search.dialect.tidy() >= 3
    assert _parts_of_the_index() < parts
    assert found(ana, "alpha", limit=50) == everything
    assert found(ana, "beta") == ["meanwhile"]
    main_db.execute_sql("INSERT INTO search (search) VALUES ('integrity-check')")
    search.dialect.tidy()
    assert _parts_of_the_index() == 1
    assert search.dialect.tidy() == 1  # nothing is left to be done


def _parts_of_the_index() -> int:
    return int(run_sql(main_db, "SELECT COUNT(DISTINCT segid) FROM search_idx").fetchone()[0])


def test_what_is_not_understood_is_said_and_the_rest_is_searched(company):
    world, ana, _ = company
    world.mail(ana, "alpha", subject="a")
    page = threads.page(ana, q="has:cheese before:yesterday alpha")
    assert [row.subject for row in page.items] == ["a"]
    assert page.notes == ("has:cheese", "before:yesterday")
    assert search.understand(ana, "alpha (beta OR gamma) -from:x").understood == "alpha (beta OR gamma) -from:x"
    assert search.understand(ana, "is:held chairs").held


def test_a_known_word_with_a_colon_is_an_operator_and_all_else_is_text(company):
    world, ana, _ = company
    world.mail(ana, "see http://cust.example/x at 12:30, re:hello", subject="a")
    for typed in ("http://cust.example/x", "12:30", "re:hello"):
        assert found(ana, typed) == ["a"], typed


def test_pages_of_a_search_hold_every_thread_once(company):
    world, ana, bo = company
    for number in range(7):
        mail = world.mail(ana, "alpha", subject=f"t{number}")
        world.mail(bo, "alpha", subject="no")
        if number % 2:
            world.mail(ana, "alpha again", thread=mail.thread_id, subject="re")
    old = threads.page(ana, q="alpha").items[-1].id
    world.mail(ana, "alpha newest", thread=old)
    seen, cursor = [], None
    for _ in range(9):
        page = threads.page(ana, q="alpha", cursor=cursor, limit=2)
        seen += [row.id for row in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == 7
    assert seen[0] == old


ODD = [
    "", " ", "*", "-", "--", '"', '""', '"unbalanced', "(", "(((((", ")))", "a)b(c", "OR", "OR OR", "a OR", "-a -b", "NOT x", "AND", "NEAR(a b)", "covid-19", "c++",
    "o'neill", "ana@sales.example", "a:b:c", "from:", "from:@", "from:()", "has:", "before:9999-99-99", "before:0001-01-01", "after:99999999999999", "older_than:99999d",
    "deal:99999999999999999999", "deal:%", "deal:_", "is:", "subject:", 'subject:"', "subject:-", "x" * 5000, "(" * 300 + "a", "-(" * 50, "a " * 300, "\x00", "a\x00b",
    "\ud83d\ude00", "😀", "'; DROP TABLE search; --", "\\", "{subject}: x", "^a", "a^2", "body:x", "rowid:1", "名*", "*名", "：", "İ", "ß*", "%", "?", "%s", "$1", "a & b | !c", "<->",
    "ⅷ", "①②", "\u200b", "\u202e", "\u0301", "a\u0301\u0301", "𞤀", "𖹀", "١٢٣", "-\"a\" -\"\"", "() OR ()", "-() a", "from:😀", "to:@😀", "cc:a@b@c", "IS:UNREAD", "Has:Attachment",
]  # fmt: skip


def test_whatever_is_typed_nothing_raises(company):
    world, ana, _ = company
    world.mail(ana, "alpha c++ covid-19 o'neill", subject="a")
    for typed in ODD:
        page = threads.page(ana, q=typed)
        assert len(page.items) <= 1, typed
    with pytest.raises(BadInput):
        threads.page(ana, q="alpha", cursor="nonsense")


GRAMMAR = st.lists(
    st.sampled_from(["a", "alpha", "OR", "-", "(", ")", '"', "*", ":", "from:", "is:", "has:attachment", "before:2026-01-01", "deal:1", "東", "東京", "ß", " ", "é", "\\", "'", "{", "^", "NEAR"])
    | st.text(max_size=4),
    max_size=14,
).map("".join)


def test_random_typing_never_raises(company):
    world, ana, _ = company
    world.mail(ana, "alpha", subject="a")

    @settings(max_examples=300, deadline=None, database=None)
    @given(GRAMMAR)
    def holds(typed):
        threads.page(ana, q=typed)

    holds()


def test_patience_ends_while_rows_are_fetched_too(any_store):
    endless = "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 100000000) SELECT x FROM c"
    with pytest.raises(search.dialect.TooSlow), search.dialect.patience(0.05):
        for _row in run_sql(main_db, endless):
            pass
    assert run_sql(main_db, "SELECT 1").fetchone()[0] == 1


def test_a_search_that_takes_too_long_is_stopped_with_a_sentence(company, monkeypatch):
    world, ana, _ = company
    world.mail(ana, "alpha", subject="a")

    def slow(*_: object) -> None:
        raise search.dialect.TooSlow

    monkeypatch.setattr(search, "_collect", slow)
    page = threads.page(ana, q="alpha")
    assert page.items == []
    assert "narrow it down" in page.notes[0]
