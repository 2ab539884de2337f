"""The API of people and records: contacts, organisations, deals, leads, projects, reps and their tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from core import notices
from core.errors import BadInput
from core.store import drops, people, records, staff, threads, tokens
from core.store.database import write
from core.store.paging import Page
from core.store.visibility import Viewer, note
from core.web import api_json as json
from core.web import api_shapes as shapes
from core.web.api_contract import changes_of, house, operation
from core.web.api_mail import thread_page
from core.web.problem import Problem, missing


def _found(view: Any) -> dict[str, Any]:
    if view is None:
        raise missing()
    return json.plain(view)


def _rows(page: Page[Any]) -> dict[str, Any]:
    return {**thread_page(page.items, page.next), "understood": page.understood, "notes": list(page.notes)}


# --- contacts -----------------------------------------------------------------------------------------------------


@operation("GET", "/contacts", "Contacts, newest first.", query=shapes.ContactsQuery, answer=shapes.ContactList)
def contact_list(viewer: Viewer, query: shapes.ContactsQuery) -> Any:
    return json.page_of(people.contacts(query.cursor, query.limit, query.q, query.external_id, query.address, query.organisation))


@operation("POST", "/contacts", "Enter a contact; one with an external_id takes over the contact that mail made of one of its addresses.", rule="admin", body=shapes.ContactChange, answer=shapes.ContactShape, status=201)
def contact_add(viewer: Viewer, body: shapes.ContactChange) -> Any:
    return json.plain(people.create_contact(viewer, changes_of(body)))


@operation("GET", "/contacts/<int:contact_id>", "One contact.", answer=shapes.ContactShape)
def contact_one(viewer: Viewer, contact_id: int) -> Any:
    return _found(people.get_contact(contact_id))


@operation("PATCH", "/contacts/<int:contact_id>", "Change a contact.", body=shapes.ContactChange, answer=shapes.ContactShape)
def contact_change(viewer: Viewer, contact_id: int, body: shapes.ContactChange) -> Any:
    return _found(people.update_contact(viewer, contact_id, changes_of(body)))


@operation("DELETE", "/contacts/<int:contact_id>", "Remove a contact; mail with it stays.", rule="admin")
def contact_delete(viewer: Viewer, contact_id: int) -> None:
    if not people.delete_contact(viewer, contact_id):
        raise missing()


@operation("POST", "/contacts/<int:contact_id>/merge", "Make another contact a part of this one.", rule="admin", body=shapes.MergeWanted, answer=shapes.ContactMerged)
def contact_merge(viewer: Viewer, contact_id: int, body: shapes.MergeWanted) -> Any:
    token = people.merge(viewer, contact_id, body.other)
    if token is None:
        raise missing()
    return {**_found(people.get_contact(contact_id)), "undo": token}


@operation("GET", "/contacts/<int:contact_id>/threads", "The readable threads with a contact.", query=shapes.ListQuery, answer=shapes.ThreadList)
def contact_threads(viewer: Viewer, contact_id: int, query: shapes.ListQuery) -> Any:
    view = people.get_contact(contact_id)
    if view is None:
        raise missing()
    return _rows(people.contact_threads(viewer, view.id, query.cursor, query.limit))


# --- organisations ------------------------------------------------------------------------------------------------


@operation("GET", "/organisations", "Organisations, newest first.", query=shapes.OrganisationsQuery, answer=shapes.OrganisationList)
def organisation_list(viewer: Viewer, query: shapes.OrganisationsQuery) -> Any:
    return json.page_of(people.organisations(query.cursor, query.limit, query.q, query.external_id, query.domain))


@operation("POST", "/organisations", "Enter an organisation; one with an external_id takes over those that mail made of its domains.", rule="admin", body=shapes.OrganisationWanted, answer=shapes.OrganisationShape, status=201)
def organisation_add(viewer: Viewer, body: shapes.OrganisationWanted) -> Any:
    return json.plain(people.create_organisation(viewer, changes_of(body)))


@operation("GET", "/organisations/<int:organisation_id>", "One organisation.", answer=shapes.OrganisationShape)
def organisation_one(viewer: Viewer, organisation_id: int) -> Any:
    return _found(people.get_organisation(organisation_id))


@operation("PATCH", "/organisations/<int:organisation_id>", "Change an organisation.", body=shapes.OrganisationChange, answer=shapes.OrganisationShape)
def organisation_change(viewer: Viewer, organisation_id: int, body: shapes.OrganisationChange) -> Any:
    return _found(people.update_organisation(viewer, organisation_id, changes_of(body)))


@operation("DELETE", "/organisations/<int:organisation_id>", "Remove an organisation; its people and records stay.", rule="admin")
def organisation_delete(viewer: Viewer, organisation_id: int) -> None:
    if not people.delete_organisation(viewer, organisation_id):
        raise missing()


@operation("GET", "/organisations/<int:organisation_id>/threads", "The readable threads on an organisation.", query=shapes.ListQuery, answer=shapes.ThreadList)
def organisation_threads(viewer: Viewer, organisation_id: int, query: shapes.ListQuery) -> Any:
    if people.get_organisation(organisation_id) is None:
        raise missing()
    return _rows(people.organisation_threads(viewer, organisation_id, query.cursor, query.limit))


# --- deals, leads, projects ---------------------------------------------------------------------------------------


def _record_routes(kind: str) -> None:
    """The routes of one kind of record."""
    base, one = f"/{kind}s", f"/{kind}s/<int:{kind}_id>"

    def shown(viewer: Viewer, view: records.RecordView | None) -> dict[str, Any]:
        return _found(records.as_known_to(viewer, [view])[0] if view is not None else None)

    @operation("GET", base, f"{kind.title()}s, newest first; deleted ones only by status or external_id.", query=shapes.RecordsQuery, answer=shapes.RecordList, name=f"{kind}_list")
    def list_(viewer: Viewer, query: shapes.RecordsQuery) -> Any:
        if query.status is not None and query.status not in records.STATUSES[kind]:
            raise Problem(400, f"status: use one of {', '.join(records.STATUSES[kind])}", where="status")
        found = records.page(kind, house().seal, query.cursor, query.limit, query.q, query.external_id, query.status, query.contact, query.organisation)
        return json.page_of(replace(found, items=records.as_known_to(viewer, found.items)))

    @operation("POST", base, f"Enter a {kind}.", rule="admin", body=shapes.RecordWanted, answer=shapes.RecordShape, status=201, name=f"{kind}_add")
    def add(viewer: Viewer, body: shapes.RecordWanted) -> Any:
        return json.plain(records.create(viewer, kind, changes_of(body), house().seal))

    @operation("GET", one, f"One {kind}.", answer=shapes.RecordShape, name=f"{kind}_one")
    def get(viewer: Viewer, **ids: int) -> Any:
        return shown(viewer, records.get(kind, ids[f"{kind}_id"], house().seal))

    @operation("PATCH", one, f"Change a {kind}; a status other than deleted restores a deleted one.", body=shapes.RecordChange, answer=shapes.RecordShape, name=f"{kind}_change")
    def change(viewer: Viewer, body: shapes.RecordChange, **ids: int) -> Any:
        return shown(viewer, records.update(viewer, kind, ids[f"{kind}_id"], changes_of(body), house().seal))

    @operation("DELETE", one, f"Give a {kind} the status deleted; its mail and its address stay.", rule="admin", name=f"{kind}_delete")
    def delete(viewer: Viewer, **ids: int) -> None:
        if not records.delete(viewer, kind, ids[f"{kind}_id"]):
            raise missing()

    @operation("POST", f"{one}/address", f"Give a {kind} a new drop address; the old one works for the grace period.", answer=shapes.RecordShape, name=f"{kind}_rotate")
    def rotate(viewer: Viewer, **ids: int) -> Any:
        record_id = ids[f"{kind}_id"]
        _found(records.get(kind, record_id, house().seal))
        with write():
            drops.rotate(record_id, house().seal, house().now())
            note(viewer, "address-rotated", f"record:{record_id}", house().now())
        return shown(viewer, records.get(kind, record_id, house().seal))

    @operation("GET", f"{one}/threads", f"The readable threads on a {kind}.", query=shapes.ListQuery, answer=shapes.ThreadList, name=f"{kind}_threads")
    def on_it(viewer: Viewer, query: shapes.ListQuery, **ids: int) -> Any:
        if records.get(kind, ids[f"{kind}_id"], house().seal, deleted=True) is None:
            raise missing()
        return _rows(records.threads(viewer, ids[f"{kind}_id"], query.cursor, query.limit))

    @operation("GET", f"{one}/earlier-threads", f"One's own earlier threads that could be linked to a {kind}.", query=shapes.ListQuery, answer=shapes.ThreadList, name=f"{kind}_earlier_threads")
    def earlier(viewer: Viewer, query: shapes.ListQuery, **ids: int) -> Any:
        if records.get(kind, ids[f"{kind}_id"], house().seal) is None:
            raise missing()
        return _rows(Page(records.eligible_earlier_threads(viewer, ids[f"{kind}_id"])))


for _kind in records.STATUSES:
    _record_routes(_kind)

# --- reps ---------------------------------------------------------------------------------------------------------


def _rep(view: staff.RepView | None) -> dict[str, Any]:
    if view is None:
        raise missing()
    return {**json.plain(view), "addresses": [json.plain(item) for item in view.addresses]}


@operation("GET", "/me", "Who this token acts as.", answer=shapes.Me)
def me(viewer: Viewer) -> Any:
    return {"id": viewer.rep_id, "email": viewer.email, "role": viewer.role}


@operation("GET", "/reps", "Reps, for admins; else oneself.", query=shapes.RepsQuery, answer=shapes.RepList)
def rep_list(viewer: Viewer, query: shapes.RepsQuery) -> Any:
    return json.page_of(staff.page(viewer, query.cursor, query.limit, query.external_id, query.email), _rep)


@operation("POST", "/reps", "Enter a rep.", rule="admin", body=shapes.RepWanted, answer=shapes.RepShape, status=201)
def rep_add(viewer: Viewer, body: shapes.RepWanted) -> Any:
    with write():
        made = staff.create(viewer, _given(body))
        asked = _ask_to_confirm(made, set())
    if asked:
        house().bell.ring()
    return _rep(made)


def _unconfirmed(view: staff.RepView | None) -> set[str]:
    return {one.address for one in view.addresses if not one.verified} if view is not None else set()


def _ask_to_confirm(view: staff.RepView, before: set[str]) -> int:
    """Ask at each address that waits since this change whether it is the rep's own, in the caller's transaction; how many mails. A suspended rep gets none."""
    fresh = [address for address in sorted(_unconfirmed(view) - before) if view.status == "active"]
    try:
        return sum(notices.request_confirmation(view.id, address, house()) for address in fresh)
    except BadInput as error:
        raise BadInput("addresses", error.sentence) from error


def _given(body: shapes.RepChange) -> dict[str, Any]:
    """What was given; null stands for "leave it", but for the external id."""
    return {name: value for name, value in changes_of(body).items() if value is not None or name == "external_id"}


@operation("GET", "/reps/<int:rep_id>", "One rep: oneself, or for admins anybody.", answer=shapes.RepShape)
def rep_one(viewer: Viewer, rep_id: int) -> Any:
    return _rep(staff.get(viewer, rep_id))


@operation("PATCH", "/reps/<int:rep_id>", "Change a rep; of themselves reps may change a part.", body=shapes.RepChange, answer=shapes.RepShape, also=(403,))
def rep_change(viewer: Viewer, rep_id: int, body: shapes.RepChange) -> Any:
    with write():
        before = _unconfirmed(staff.get(viewer, rep_id))
        changed = staff.update(viewer, rep_id, _given(body))
        asked = _ask_to_confirm(changed, before) if changed is not None else 0
    if asked:
        house().bell.ring()
    return _rep(changed)


@operation("DELETE", "/reps/<int:rep_id>", "Remove a rep who has no mail.", rule="admin", also=(422,))
def rep_delete(viewer: Viewer, rep_id: int) -> None:
    if not staff.delete(viewer, rep_id):
        raise missing()


@operation("GET", "/reps/<int:rep_id>/threads", "A rep's threads that the asker may list.", query=shapes.ListQuery, answer=shapes.ThreadList)
def rep_threads(viewer: Viewer, rep_id: int, query: shapes.ListQuery) -> Any:
    if staff.get(viewer, rep_id) is None:
        raise missing()
    return _rows(threads.page(viewer, "everything", query.cursor, query.limit, owner=rep_id))


@operation("GET", "/reps/<int:rep_id>/tokens", "A rep's tokens, without their secrets.", query=shapes.ListQuery, answer=shapes.TokenList)
def token_list(viewer: Viewer, rep_id: int, query: shapes.ListQuery) -> Any:
    if staff.get(viewer, rep_id) is None:
        raise missing()
    return {"items": [json.plain(view) for view in tokens.of_rep(viewer, rep_id)], "next": None}


@operation("POST", "/reps/<int:rep_id>/tokens", "Make a token; it is shown this once.", body=shapes.TokenWanted, body_needed=False, answer=shapes.TokenMade, status=201)
def token_add(viewer: Viewer, rep_id: int, body: shapes.TokenWanted) -> Any:
    made = tokens.create(viewer, rep_id, body.name, house().seal)
    if made is None:
        raise missing()
    return {"id": made[0], "token": made[1]}


@operation("DELETE", "/tokens/<int:token_id>", "End a token.")
def token_delete(viewer: Viewer, token_id: int) -> None:
    if not tokens.revoke(viewer, token_id):
        raise missing()
