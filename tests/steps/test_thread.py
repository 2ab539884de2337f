"""Which thread a mail joins: ids first, then claims, then subject and participants together, never a subject alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.steps.facts import Unwrapped
from core.steps.thread import (
    Choice,
    MessageFact,
    NameMap,
    ThreadFact,
    base_subject,
    choose,
    fact,
    has_reply_prefix,
    names,
    subject_key,
)
from core.types import Email
from tests.steps.world import ANA, BEN, BO, CY, HOUSE, NOW, block, boxes, day, forwarded, mail, reasons, written


def place(email: Email, *candidates: ThreadFact, unwrapped: Unwrapped | None = None) -> Choice:
    return choose(email, unwrapped or written(email), candidates, ours=HOUSE.ours)


def message(
    *ids: str, author: str = ANA, to: tuple[str, ...] = (BO,), subject: str = "Ten oak chairs", on: float = 0, **other: Any
):
    return MessageFact(ids or ("m1@sales.example",), author, to, subject, day(on), **other)


def thread(number: int, *names: str, messages: tuple[MessageFact, ...] = (), **other: Any) -> ThreadFact:
    return ThreadFact(number, names, messages, **other)


REPLY = mail(id="m2@cust.example", sender=ANA, to=(BO,), refs=("m1@sales.example",), subject="Re: Ten oak chairs", date=day(1))
BARE_REPLY = mail(id="m3@sales.example", sender=ANA, to=(BO,), subject="Re: Ten oak chairs", date=day(2))


class TestIds:
    def test_a_mail_that_answers_nothing_starts_a_thread(self):
        choice = place(mail())
        assert choice.thread_id is None
        assert choice.reason == "new-thread"
        assert choice.bind == ("m1@sales.example",)

    def test_a_reply_joins_the_thread_it_answers(self):
        choice = place(REPLY, thread(4, "m1@sales.example"))
        assert (choice.thread_id, choice.reason) == (4, "joined-by-id")

    def test_every_named_id_is_looked_up_and_bound_also_the_unseen(self):
        email = mail(id="c@x.example", refs=("a@x.example", "b@x.example"))
        assert names(email) == ("c@x.example", "a@x.example", "b@x.example")
        assert place(email).bind == names(email)

    def test_the_ids_that_a_relay_replaced_are_looked_up_too(self):
        email = mail(id="new@relay.example", ids=("new@relay.example", "old@sales.example"))
        assert names(email) == ("new@relay.example", "old@sales.example")
        assert place(email).holds == names(email)

    def test_a_mail_that_others_have_named_before_finds_its_thread(self):
        assert place(mail(), thread(9, "m1@sales.example")).thread_id == 9

    def test_a_mail_without_an_id_may_still_answer(self):
        choice = place(mail(id=None, refs=("m1@sales.example",)), thread(4, "m1@sales.example"))
        assert choice.thread_id == 4
        assert choice.holds == ()

    def test_a_changed_subject_stays_in_its_thread(self):
        assert place(mail(refs=("m0@x.example",), subject="Something else"), thread(4, "m0@x.example")).thread_id == 4

    def test_self_reference_and_repetition_do_no_harm(self):
        email = mail(refs=("m1@sales.example", "m1@sales.example"))
        assert names(email) == ("m1@sales.example",)

    def test_a_mail_that_names_thousands_keeps_the_first_and_the_last(self):
        found = names(mail(refs=tuple(f"{n}@x.example" for n in range(5000))))
        assert len(found) == 201
        assert (found[1], found[20], found[21], found[-1]) == ("0@x.example", "19@x.example", "4820@x.example", "4999@x.example")


class TestLateParents:
    BRIDGE = mail(id="m2@x.example", refs=("m1@x.example",))

    def test_a_late_parent_makes_two_threads_one_and_the_older_start_stands(self):
        choice = place(self.BRIDGE, thread(7, "m1@x.example"), thread(3, "m2@x.example"))
        assert (choice.thread_id, choice.merge, choice.related) == (3, (7,), ())
        assert reasons(choice.trace) == ["joined-by-id", "threads-merged"]

    @pytest.mark.parametrize(
        "one, other, merged",
        [
            ({}, {}, True),
            ({"sharing": "company"}, {"sharing": "company"}, True),
            ({"sharing": "company"}, {}, False),
            ({"has_records": True}, {}, True),
            ({"has_records": True}, {"has_records": True}, False),
            ({"split": True}, {}, False),
            ({}, {"split": True}, False),
        ],
    )
    def test_two_threads_merge_only_when_nothing_of_either_is_lost(self, one, other, merged):
        choice = place(self.BRIDGE, thread(3, "m1@x.example", **one), thread(7, "m2@x.example", **other))
        assert choice.thread_id == 3
        assert choice.merge == ((7,) if merged else ())
        assert choice.related == (() if merged else (7,))

    def test_the_nearest_ancestor_decides_where_threads_stay_apart(self):
        email = mail(id="m9@x.example", refs=("root@x.example", "branch@x.example"))
        choice = place(email, thread(3, "root@x.example", split=True), thread(8, "branch@x.example", split=True))
        assert (choice.thread_id, choice.related) == (8, (3,))

    def test_of_three_threads_only_one_may_bring_records(self):
        email = mail(id="m9@x.example", refs=("a@x.example", "b@x.example", "c@x.example"))
        choice = place(
            email, thread(1, "a@x.example", has_records=True), thread(2, "b@x.example", has_records=True), thread(3, "c@x.example")
        )
        assert (choice.thread_id, choice.merge, choice.related) == (1, (3,), (2,))


class TestExchange:
    ROOT = "01" * 22

    def test_the_conversation_of_exchange_joins_when_no_id_does(self):
        first = mail(thread_index=self.ROOT)
        name = names(first)[-1]
        assert "<" in name, "no id of a mail can look like it"
        later = mail(id="m5@x.example", thread_index=self.ROOT, subject="RE: Ten oak chairs")
        assert names(later)[-1] == name
        assert place(later, thread(6, name)).thread_id == 6

    def test_another_subject_is_another_conversation(self):
        assert names(mail(thread_index=self.ROOT))[-1] != names(mail(thread_index=self.ROOT, subject="Stools"))[-1]

    def test_ids_are_stronger(self):
        email = mail(id="m5@x.example", refs=("m1@x.example",), thread_index=self.ROOT)
        choice = place(email, thread(6, names(email)[-1]), thread(8, "m1@x.example"))
        assert (choice.thread_id, choice.merge, choice.related) == (8, (), ())


class TestSubjectAndParticipants:
    FROM_BO = thread(4, messages=(message("b1@cust.example", author=BO, to=(ANA,)),))
    FROM_ANA = thread(4, messages=(message(),))

    def test_both_writers_in_both_mails_and_the_same_subject_join(self):
        choice = place(BARE_REPLY, self.FROM_BO)
        assert (choice.thread_id, choice.reason) == (4, "joined-by-subject")

    def test_a_rep_who_writes_once_more_to_the_same_people_joins(self):
        assert place(BARE_REPLY, self.FROM_ANA).thread_id == 4

    @pytest.mark.parametrize("to", [(CY,), (BO, CY), (BEN,), ()])
    def test_other_people_do_not(self, to):
        assert place(mail(id="m3@x.example", to=to, subject="Re: Ten oak chairs", date=day(2)), self.FROM_ANA).thread_id is None

    def test_the_subject_alone_never_joins(self):
        stranger = thread(4, messages=(message("b1@cust.example", author=CY, to=(BEN,)),))
        assert place(BARE_REPLY, stranger).thread_id is None

    def test_colleagues_alone_are_no_evidence(self):
        inside = mail(id="m3@x.example", to=(BEN,), subject="Re: Ten oak chairs", date=day(2))
        assert place(inside, thread(4, messages=(message(author=BEN, to=(ANA,)),))).thread_id is None

    def test_nor_is_writing_to_the_same_colleagues_again(self):
        inside = mail(id="m3@x.example", to=(BEN,), subject="Re: Ten oak chairs", date=day(2))
        assert place(inside, thread(4, messages=(message(to=(BEN,)),))).thread_id is None

    def test_without_a_reply_prefix_it_is_something_new(self):
        email = mail(id="m3@x.example", date=day(2))
        assert subject_key(email) == ""
        assert place(email, self.FROM_BO).thread_id is None

    @pytest.mark.parametrize("prefix", ["Re:", "AW:", "SV:", "Antw:", "RE: Re[2]:", "回复："])
    def test_every_language_answers(self, prefix):
        email = mail(id="m3@x.example", subject=f"{prefix} Ten oak chairs", date=day(2))
        assert subject_key(email) == "ten oak chairs"
        assert place(email, self.FROM_BO).thread_id == 4

    def test_a_mail_that_names_any_id_is_not_joined_by_subject(self):
        email = mail(id="m3@x.example", refs=("unknown@x.example",), subject="Re: Ten oak chairs", date=day(2))
        assert subject_key(email) == ""
        assert place(email, self.FROM_BO).thread_id is None

    @pytest.mark.parametrize("later, joins", [(30, True), (31, False), (-1, False)])
    def test_the_parent_is_at_most_thirty_days_older(self, later, joins):
        email = mail(id="m3@x.example", subject="Re: Ten oak chairs", date=day(later))
        assert (place(email, self.FROM_BO).thread_id == 4) is joins

    def test_two_that_qualify_are_both_left_alone(self):
        twin = thread(5, messages=self.FROM_BO.messages)
        assert place(BARE_REPLY, self.FROM_BO, twin).thread_id is None

    @pytest.mark.parametrize("subject", ["Re: Hello", "Re:", "Re: 4711", "Re: ok", "AW: Rechnung", "Re: Invoice!"])
    def test_a_subject_that_names_nothing_never_joins(self, subject):
        email = mail(id="m3@x.example", subject=subject, date=day(2))
        other = thread(4, messages=(message(author=BO, to=(ANA,), subject=base_subject(subject)),))
        assert subject_key(email) == ""
        assert place(email, other).thread_id is None

    def test_list_mail_is_never_joined_by_subject(self):
        assert subject_key(mail(id="m3@x.example", subject="Re: Ten oak chairs", machine="list")) == ""
        listed = thread(4, messages=(message(author=BO, to=(ANA,), listed=True),))
        assert place(BARE_REPLY, listed).thread_id is None


class TestForwards:
    """F35. Bo answers Ana's offer; Ana forwards his answer into the box."""

    OFFER = message("m1@sales.example")
    ANSWER = message("b1@cust.example", author=BO, to=(ANA,), subject="Re: Ten oak chairs", on=1)
    FORWARD = mail(
        id="f1@sales.example",
        to=("acme-fwd@drop.example",),
        refs=("m1@sales.example", "b1@cust.example"),
        subject="Fwd: Re: Ten oak chairs",
        date=day(2),
    )
    BARE = mail(id="f2@sales.example", to=("acme-fwd@drop.example",), subject="Fwd: Re: Ten oak chairs", date=day(2))

    def test_a_forward_of_a_mail_not_logged_joins_its_thread(self):
        choice = place(self.FORWARD, thread(4, "m1@sales.example", messages=(self.OFFER,)), unwrapped=forwarded())
        assert (choice.thread_id, choice.reason) == (4, "joined-by-id")
        assert choice.holds == ("f1@sales.example", "b1@cust.example"), "it stands for the original from now on"

    def test_a_forward_of_one_already_logged_starts_a_thread_of_its_own(self):
        logged = thread(4, "m1@sales.example", "b1@cust.example", messages=(self.OFFER, self.ANSWER))
        choice = place(self.FORWARD, logged, unwrapped=forwarded())
        assert (choice.thread_id, choice.reason, choice.related) == (None, "forward-duplicates-thread", (4,))
        assert choice.bind == ("f1@sales.example",), "the first thread keeps the names of its mails"

    def test_the_second_forward_of_one_mail_starts_a_new_thread(self):
        first = place(self.FORWARD, thread(4, "m1@sales.example", messages=(self.OFFER,)), unwrapped=forwarded())
        standing = fact(self.FORWARD, forwarded(), first)
        assert (standing.author, standing.recipients, standing.date) == (BO, (ANA,), day(1))
        again = thread(4, "m1@sales.example", "b1@cust.example", messages=(self.OFFER, standing))
        assert place(self.FORWARD, again, unwrapped=forwarded()).reason == "forward-duplicates-thread"

    def test_a_forward_of_the_reps_own_logged_mail_starts_a_new_thread(self):
        own = block(ANA, to=boxes(BO), subject="Ten oak chairs", date=NOW)
        email = mail(id="f3@sales.example", to=("acme-fwd@drop.example",), refs=("m1@sales.example",), date=day(2))
        logged = thread(4, "m1@sales.example", messages=(self.OFFER,))
        assert place(email, logged, unwrapped=forwarded(own)).reason == "forward-duplicates-thread"

    def test_a_later_mail_of_the_same_author_is_not_taken_for_the_logged_one(self):
        """The program left the forwarded mail out of References, so the last id names an older one of the same author."""
        later = block(date=day(3))
        logged = thread(4, "m1@sales.example", "b1@cust.example", messages=(self.OFFER, self.ANSWER))
        assert place(self.FORWARD, logged, unwrapped=forwarded(later)).thread_id == 4

    def test_an_attached_original_tells_its_own_id(self):
        attached = block(message_id="b1@cust.example", references=("m1@sales.example",), evidence="attachment")
        assert names(self.BARE, forwarded(attached)) == ("f2@sales.example", "m1@sales.example", "b1@cust.example")
        joined = place(self.BARE, thread(4, "m1@sales.example", messages=(self.OFFER,)), unwrapped=forwarded(attached))
        assert joined.thread_id == 4
        logged = thread(4, "b1@cust.example", messages=(self.OFFER, self.ANSWER))
        assert place(self.BARE, logged, unwrapped=forwarded(attached)).reason == "forward-duplicates-thread"

    def test_without_ids_the_claim_finds_the_thread(self):
        assert subject_key(self.BARE, forwarded()) == "ten oak chairs"
        choice = place(self.BARE, thread(4, messages=(self.OFFER,)), unwrapped=forwarded())
        assert (choice.thread_id, choice.reason) == (4, "joined-by-claim")

    @pytest.mark.parametrize(
        "claim",
        [
            block(CY),
            block(subject="Re: Stools"),
            block(date=day(40)),
            block(date=None),
            block(subject="Re: Hello"),
        ],
        ids=["author", "subject", "date", "no date", "generic"],
    )
    def test_a_claim_that_does_not_fit_starts_a_thread(self, claim):
        subject = "Hello" if claim.subject == "Re: Hello" else "Ten oak chairs"
        offered = thread(4, messages=(message(subject=subject),))
        assert place(self.BARE, offered, unwrapped=forwarded(claim)).reason == "new-thread"

    def test_what_a_rep_wrote_the_same_day_to_others_is_no_part_of_the_thread(self):
        own = block(ANA, to=boxes(CY), subject="Ten oak chairs", date=day(0.2))
        assert place(self.BARE, thread(4, messages=(self.OFFER,)), unwrapped=forwarded(own)).reason == "new-thread"

    def test_what_a_rep_wrote_again_to_the_same_people_is(self):
        own = block(ANA, to=boxes(BO), subject="Re: Ten oak chairs", date=day(2))
        email = mail(id="f3@sales.example", to=("acme-fwd@drop.example",), subject="Fwd: Re: Ten oak chairs", date=day(3))
        assert place(email, thread(4, messages=(self.OFFER,)), unwrapped=forwarded(own)).thread_id == 4

    def test_an_answer_after_three_weeks_still_joins_when_both_took_part(self):
        choice = place(self.BARE, thread(4, messages=(self.OFFER,)), unwrapped=forwarded(block(date=day(21))))
        assert choice.thread_id == 4

    @pytest.mark.parametrize(
        "claimed",
        [
            day(1),
            day(1).replace(second=0),
            day(1).replace(tzinfo=None),
            (day(1) + dt.timedelta(hours=9)).replace(tzinfo=None),
            (day(1) - dt.timedelta(hours=4)).replace(tzinfo=None),
            (day(1) + dt.timedelta(hours=5, minutes=45)).replace(tzinfo=None),
        ],
    )
    def test_a_logged_mail_is_known_by_its_claim_in_whatever_zone_it_was_written(self, claimed):
        exact = MessageFact(("b1@cust.example",), BO, (ANA,), "Re: Ten oak chairs", day(1) + dt.timedelta(seconds=35))
        choice = place(self.BARE, thread(4, messages=(self.OFFER, exact)), unwrapped=forwarded(block(date=claimed)))
        assert choice.reason == "forward-duplicates-thread"

    def test_an_unreadable_forward_goes_by_its_ids_alone(self):
        unreadable = Unwrapped(is_forward=True, waits="forward-unreadable")
        assert subject_key(self.BARE, unreadable) == ""
        offered = thread(4, "m1@sales.example", messages=(self.OFFER,))
        assert place(self.FORWARD, offered, unwrapped=unreadable).thread_id == 4
        assert place(self.BARE, thread(4, messages=(self.OFFER,)), unwrapped=unreadable).thread_id is None
        logged = thread(4, "b1@cust.example", messages=(self.ANSWER,))
        assert place(self.FORWARD, logged, unwrapped=unreadable).reason == "forward-duplicates-thread"

    def test_a_forward_to_others_joins_the_conversation_like_any_reply(self):
        email = mail(id="f4@sales.example", to=(CY,), refs=("b1@cust.example",), subject="Fwd: Re: Ten oak chairs")
        logged = thread(4, "b1@cust.example", messages=(self.ANSWER,))
        assert place(email, logged).thread_id == 4


class TestSubjects:
    @pytest.mark.parametrize(
        "subject, base",
        [
            ("Ten oak chairs", "ten oak chairs"),
            ("Re: Ten oak chairs", "ten oak chairs"),
            ("RE: AW: Re[2]: Fwd: Ten  oak\tchairs", "ten oak chairs"),
            ("[ilist] Re: Ten oak chairs", "ten oak chairs"),
            ("Re: [ilist] Ten oak chairs", "ten oak chairs"),
            ("[ilist] [done] Ten oak chairs", "[done] ten oak chairs"),
            ("[only a tag]", "[only a tag]"),
            ("Ten oak chairs (fwd)", "ten oak chairs"),
            ("回复：十把橡木椅子", "十把橡木椅子"),
            ("Project: chairs", "project: chairs"),
            ("Re:", ""),
            ("", ""),
        ],
    )
    def test_the_base_subject(self, subject, base):
        assert base_subject(subject) == base

    def test_a_forward_prefix_is_no_answer(self):
        assert not has_reply_prefix("Fwd: Re: Ten oak chairs")
        assert has_reply_prefix("Re: Fwd: Ten oak chairs")
        assert not has_reply_prefix("Ten oak chairs")

    @settings(deadline=None, max_examples=80)
    @given(st.text(max_size=3000))
    def test_any_text_has_a_base_and_the_same_one_as_an_answer(self, text):
        assert len(base_subject(text)) <= 18 * 998  # NFKC writes one character in eighteen at most
        assert base_subject(f"Re: Chairs {text[:900]}") == base_subject(f"Chairs {text[:900]}")

    def test_a_subject_of_prefixes_only_is_read_in_one_pass(self):
        assert len(base_subject("Re: " * 100_000)) < 1000


class TestAnyOrder:
    """The map of names is a union-find: the same threads come out whatever arrives first."""

    @settings(deadline=None, max_examples=80)
    @given(st.lists(st.tuples(st.integers(0, 12), st.lists(st.integers(0, 12), max_size=3)), max_size=14), st.randoms())
    def test_the_same_mails_make_the_same_threads(self, mails, random):
        unique = dict(mails)
        found = []
        for _ in range(2):
            order = list(unique.items())
            random.shuffle(order)
            box_map = NameMap()
            for own, refs in order:
                email = mail(id=f"{own}@x.example", refs=tuple(f"{ref}@x.example" for ref in refs))
                facts = [ThreadFact(number, held) for number, held in box_map.look_up(names(email)).items()]
                box_map.apply(choose(email, written(email), facts))
            groups: dict[int, set[int]] = {}
            for own in unique:
                groups.setdefault(box_map.threads[f"{own}@x.example"], set()).add(own)
            found.append({frozenset(group) for group in groups.values()})
        assert found[0] == found[1]
