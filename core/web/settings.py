"""The company's settings, for admins: addresses, policy, limits, never-log, reps, tokens and the audit. Each form saves on its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, Response, abort, request, session, url_for
from flask_babel import gettext as _
from peewee import IntegrityError
from pydantic import ValidationError

from core import notices
from core.errors import BadInput
from core.mail.addresses import is_role, normalise_domain
from core.reasons import N_
from core.store import drops, reps, tokens
from core.store import never_log as listed
from core.store.company import MEGABYTE, Company, beat, change_company, company, differences, forget_cache
from core.store.database import write
from core.store.models import Rep, SenderAddress, TeamAddress
from core.store.visibility import note
from core.web import audit as in_words
from core.web import auth, forms, hx
from core.web.access import admin_only
from core.web.frame import complaint, house, me, now, plain_gettext, viewer
from core.web.refusals import number

pages = Blueprint("settings", __name__, url_prefix="/settings")


def sections() -> list[tuple[str, str]]:
    return [
        ("settings.page", _("Company and addresses")), ("settings.policy", _("Linking policy")), ("settings.limits", _("Limits and mail")),
        ("upkeep.outgoing", _("Outgoing mail")), ("upkeep.events", _("Event webhook")), ("upkeep.data", _("Data and retention")),
        ("settings.never_log", _("Never log")), ("settings.people", _("Reps and addresses")), ("settings.token_list", _("API tokens")),
        ("settings.audit", _("Audit")),
    ]  # fmt: skip


def settings_page(template: str, status: int = 200, where: str = "", wrong: str = "", **context: Any) -> Response:
    page = f"settings/{template}.html"
    return hx.render(page, page, status, sections=sections(), company=company(), where=where, wrong=wrong, **context)


_render = settings_page


def _saved(endpoint: str, text: str | None = None) -> Response:
    hx.toast(text or _("Saved."))
    return hx.redirect(url_for(endpoint))


def _note(act: str, /, **facts: Any) -> None:
    note(viewer(), act, "settings", now(), **facts)


def note_settings(before: Company) -> None:
    """Write down which settings differ from before; a form that was saved as it stood changed none."""
    values = differences(before, company())
    if values:
        _note("settings-changed", names=list(values), values=values)


# --- company and addresses ----------------------------------------------------------------------------------------


@pages.get("")
@admin_only
def page() -> Response:
    return _company()


def _company(status: int = 200, where: str = "", wrong: str = "") -> Response:
    return _render("company", status, where, wrong, rows=drops.universal_rows(house().seal), universal=drops.universal())


@pages.post("")
@admin_only
def save_company() -> Response:
    form = request.form
    before = company()
    try:
        with write():
            names = ("name", "mail_domain", "bcc_template", "forward_template", "record_template", "mailbox")
            changes: dict[str, Any] = {name: form[name].strip()[:253] for name in names if name in form}
            if changes.get("name") == "":
                raise BadInput("name", N_("give the name of your company"))
            if "grace_days" in form:
                changes["grace_days"] = _whole("grace_days", form["grace_days"])
            change_company(changes)
            drops.set_slug(form.get("slug", company().slug), house().seal, now())
            note_settings(before)
    except BadInput as error:
        forget_cache()  # of what was half-way changed and is taken back
        return _company(422, error.where, complaint(error))
    return _saved("settings.page", _("Saved. Addresses that changed go on working in their old form for %(days)s days.", days=company().grace_days))


def _whole(place: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(place, N_("give a whole number")) from None


# --- policy -------------------------------------------------------------------------------------------------------


@pages.get("/policy")
@admin_only
def policy() -> Response:
    return _policy(company().policy.name)


def _policy(shown: str, status: int = 200, wrong: dict[str, str] | None = None, values: dict[str, Any] | None = None) -> Response:
    chosen = company().policy
    policies = house().plugins.policies
    drawn = {
        name: forms.fields(one.options, values if values is not None and name == shown else (chosen.options if name == chosen.name else {}), wrong=wrong if name == shown else None, gettext=plain_gettext)
        for name, one in policies.items()
    }  # fmt: skip
    return _render("policy", status, complaints=wrong or {}, policies=list(policies.values()), drawn=drawn, shown=shown, chosen=chosen)


@pages.post("/policy")
@admin_only
def save_policy() -> Response:
    """The policy and its options, checked by the plugin's own model; they count from the next mail on."""
    name = request.form.get("policy", "")
    chosen = house().plugins.policies.get(name)
    if chosen is None:
        abort(404)
    values = forms.read(chosen.options, request.form, f"{name}-")
    try:
        options = chosen.options.model_validate(values).model_dump(mode="json") if chosen.options else {}
    except ValidationError as error:
        return _policy(name, 422, {place: complaint(one) for place, one in forms.complaints(error).items()}, values)
    was = company().policy.name
    with write():
        change_company({"policy": {"name": name, "options": options}})
        _note("policy-changed", policy=name, options=options, was=was)
    return _saved("settings.policy", _("The policy is “%(title)s” from the next mail on. What is linked already stays.", title=plain_gettext(chosen.title)))


# --- limits -------------------------------------------------------------------------------------------------------


@pages.get("/limits")
@admin_only
def limits() -> Response:
    return _render("limits", megabyte=MEGABYTE, extra_signers=_pairs(company().extra_signers))


@pages.post("/limits")
@admin_only
def save_limits() -> Response:
    form = request.form
    try:
        changes: dict[str, Any] = {name: _megabytes(name, form.get(name, "")) for name in ("message_limit", "attachment_limit")}
        ticks = ("role_addresses_are_contacts", "fold_plus_tags", "strict_forwards", "softfail_holds")
        changes |= {name: form.get(name) == "1" for name in ticks}
        lists = ("internal_domains", "authserv_ids", "trusted_networks", "arc_sealers")
        changes |= {name: [line.strip() for line in form.get(name, "").replace(",", "\n").splitlines() if line.strip()] for name in lists}
        changes["extra_signers"] = _signers(form.get("extra_signers", ""))
        before = company()
        with write():
            change_company(changes)
            note_settings(before)
    except BadInput as error:
        return _render("limits", 422, error.where, complaint(error), megabyte=MEGABYTE, extra_signers=form.get("extra_signers", "").splitlines())
    return _saved("settings.limits")


def _pairs(signers: Mapping[str, Sequence[str]]) -> list[str]:
    """One line a pair: the sender's domain, then the domain that signs for it."""
    return [f"{home} {signer}" for home, names in signers.items() for signer in names]


def _signers(text: str) -> dict[str, list[str]]:
    """The lines of `_pairs` read back."""
    signers: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.lower().split()
        if not words:
            continue
        if len(words) != 2 or not all("." in word and "@" not in word for word in words):
            raise BadInput("extra_signers", N_("write two domains a line, such as cust.example mailer.example"))
        signers.setdefault(words[0], []).append(words[1])
    return signers


def _megabytes(place: str, text: str) -> int:
    """The bytes of a limit, refused in the unit in which it is typed."""
    typed = round(_number(place, text) * MEGABYTE)
    least, most = (next(getattr(mark, name) for mark in Company.model_fields[place].metadata if hasattr(mark, name)) for name in ("ge", "le"))
    if typed < least:
        raise BadInput(place, N_("give %(number)s or more"), number=f"{least / MEGABYTE:.3g}")
    if typed > most:
        raise BadInput(place, N_("give %(number)s or less"), number=f"{most / MEGABYTE:g}")
    return typed


def _number(place: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise BadInput(place, N_("give a number")) from None
    if not 0 <= number < 1e6:
        raise BadInput(place, N_("give a sensible number"))
    return number


# --- never log ----------------------------------------------------------------------------------------------------


@pages.get("/never-log")
@admin_only
def never_log() -> Response:
    return _never_log()


def _never_log(status: int = 200, wrong: str = "") -> Response:
    tested = request.args.get("address", "").strip()[:320]
    where, because, logged, entry = "pattern" if wrong else "", None, None, None
    if tested and _is_address_or_domain(tested):
        because = _kept_out(tested)
        logged = because is None
        entry = listed.entry_against(tested) if because == "contact-never-log" else None
    elif tested and not wrong:
        where, wrong = "address", _("This is not an e-mail address. It should look like ana@example.com.")
    found = listed.page(request.args.get("cursor") or None, 100)
    return _render("never_log", status, where, wrong, found=found, tested=tested, logged=logged, because=because, entry=entry)


def _is_address_or_domain(typed: str) -> bool:
    if reps.address_of(typed) is not None:
        return True
    domain = normalise_domain(typed.lower())
    return domain is not None and ("." in domain or domain in {*reps.internal_domains(), reps.drop_domain()})


def _kept_out(typed: str) -> str | None:
    """Why mail with this address alone would not be logged, as a reason code; None when it would."""
    address = reps.address_of(typed)
    domain = (address or typed.lower()).rpartition("@")[2]
    if not listed.would_log(typed):
        return "contact-never-log"
    ours = {*reps.internal_domains(), reps.drop_domain()}
    if address is None:
        return "contact-internal" if domain in ours else None
    if drops.find(address, house().seal, now()) is not None:
        return "contact-drop-address"
    if address in reps.rep_addresses() | reps.team_addresses():
        return "contact-rep"
    if domain in ours:
        return "contact-internal"
    return "contact-role" if is_role(address) and not company().role_addresses_are_contacts else None


@pages.post("/never-log")
@admin_only
def add_never_log() -> Response:
    try:
        entry = listed.add(viewer(), request.form.get("pattern", "")[:320])
    except BadInput as error:
        return _never_log(422, complaint(error))
    return _saved("settings.never_log", _("Mail with %(pattern)s is never logged from now on.", pattern=entry.pattern))


@pages.post("/never-log/<int:entry_id>/remove")
@admin_only
def remove_never_log(entry_id: int) -> Response:
    if not listed.remove(viewer(), entry_id):
        abort(404)
    return _saved("settings.never_log", _("The entry is removed. Mail that was ignored before can be released from the quarantine."))


# --- reps and addresses -------------------------------------------------------------------------------------------


@pages.get("/people")
@admin_only
def people() -> Response:
    return _people()


def _people(status: int = 200, where: str = "", wrong: str = "") -> Response:
    rows = list(Rep.select().order_by(Rep.status, Rep.name, Rep.email))
    waiting = list(SenderAddress.select(SenderAddress, Rep).join(Rep).where(SenderAddress.verified_at.is_null()).order_by(SenderAddress.id).limit(200))
    known = list(SenderAddress.select(SenderAddress, Rep).join(Rep).where(SenderAddress.verified_at.is_null(False), SenderAddress.kind != "account").limit(500))
    team = list(TeamAddress.select(TeamAddress, Rep).join(Rep).order_by(TeamAddress.address))
    link = session.pop("shown-link", None)
    return _render("people", status, where, wrong, reps=rows, waiting=waiting, known=known, team=team, link=link, relay=bool(house().settings.relay_url))


def _rep(rep_id: int) -> Rep:
    found = Rep.get_or_none(Rep.id == rep_id)
    if found is None:
        abort(404)
    return found


@pages.post("/people")
@admin_only
def add_rep() -> Response:
    """A new rep with a link to set the password; the link goes out by mail where mail can be sent, and is shown once."""
    email = reps.address_of(request.form.get("email", "")[:320])
    role = "admin" if request.form.get("role") == "admin" else "member"
    if email is None:
        return _people(422, "email", _("This is not an e-mail address. It should look like ana@example.com."))
    if _is_drop(email):
        return _people(422, "email", _nobody_writes_from_it())
    try:
        with write():
            rep = reps.create_rep(email, request.form.get("name", "").strip()[:200], now(), role=role, language=me().language)
            _note("rep-added", rep=email, role=role)
    except IntegrityError:
        return _people(422, "email", _("There is a rep with this address already."))
    return _link_for(rep, _("%(email)s is added.", email=email))


@pages.post("/people/<int:rep_id>/link")
@admin_only
def password_link(rep_id: int) -> Response:
    return _link_for(_rep(rep_id), _("A new link is made."))


def _link_for(rep: Rep, text: str) -> Response:
    link = auth.link_to("auth.reset", "password", rep.id)
    with write():
        _note("password-link-made", rep=rep.email)
        send = notices.send_password_link if rep.password_hash else notices.send_invitation
        send(rep.id, house(), link)
    house().bell.ring()
    session["shown-link"] = {"email": rep.email, "url": link}
    return _saved("settings.people", text)


@pages.post("/people/<int:rep_id>")
@admin_only
def change_rep(rep_id: int) -> Response:
    """Role and status. The last active admin stays one, and nobody shuts himself out."""
    rep = _rep(rep_id)
    role, status = request.form.get("role", rep.role), request.form.get("status", rep.status)
    if role not in ("admin", "member") or status not in ("active", "suspended"):
        return _people(422, "reps", _("Choose a role and a state of the list."))
    if rep.id == me().id and (role != "admin" or status != "active"):
        return _people(422, "reps", _("You cannot take the rights away from yourself. Another admin can."))
    with write():
        epoch = rep.session_epoch + (status == "suspended")
        Rep.update(role=role, status=status, session_epoch=epoch).where(Rep.id == rep.id).execute()
        _note("rep-changed", rep=rep.email, role=role, status=status)
        beat("settings", f"rep:{rep.id}")
    return _saved("settings.people")


@pages.post("/people/addresses")
@admin_only
def add_alias() -> Response:
    """An alias of a rep: an admin's word is its confirmation."""
    rep = _rep(_id("rep"))
    address = reps.address_of(request.form.get("address", "")[:320])
    if address is None:
        return _people(422, "alias", _("This is not an e-mail address. It should look like ana@example.com."))
    if _is_drop(address):
        return _people(422, "alias", _nobody_writes_from_it())
    with write():
        known = SenderAddress.get_or_none(SenderAddress.rep == rep.id, SenderAddress.address == address)
        if known is None or known.kind != "account":
            reps.enter_address(rep.id, address, "alias", now(), verified_at=now(), connected_at=now())
            _note("alias-added", rep=rep.email, address=address)
    return _saved("settings.people", _("Mail from %(address)s is logged as %(name)s’s.", address=address, name=rep.name or rep.email))


def _is_drop(address: str) -> bool:
    return drops.find(address, house().seal, now()) is not None


def _nobody_writes_from_it() -> str:
    return _("This is a drop address of Dropcopy, so nobody writes from it.")


def _id(name: str) -> int:
    return number(request.form.get(name)) or 0


@pages.post("/people/addresses/<int:address_id>")
@admin_only
def decide_address(address_id: int) -> Response:
    """Confirm an address that waits, where no mail can be sent, or remove one."""
    from core.web.account import confirm_address

    row = SenderAddress.get_or_none(SenderAddress.id == address_id)
    if row is None or row.kind == "account":
        abort(404)
    confirm = request.form.get("act") == "confirm"
    if confirm:
        confirm_address(row.rep, row.address)  # not inside a transaction: a mail that is sent on its way must find it ended
    with write():
        if not confirm:
            SenderAddress.delete().where(SenderAddress.id == row.id).execute()
            beat("settings")
        _note("address-decided", rep=row.rep.email, address=row.address, confirmed=confirm)
    return _saved("settings.people")


@pages.post("/people/team")
@admin_only
def add_team() -> Response:
    rep = _rep(_id("rep"))
    address = reps.address_of(request.form.get("address", "")[:320])
    if address is None:
        return _people(422, "team", _("This is not an e-mail address. It should look like team@example.com."))
    if _is_drop(address):
        return _people(422, "team", _nobody_writes_from_it())
    owner = Rep.get_or_none(Rep.email == address)
    if owner is not None:  # a team address goes before an account address, so all mail of that rep would become another's
        return _people(422, "team", _("This is the account address of %(name)s, so it is no team address.", name=owner.name or owner.email))
    with write():
        TeamAddress.insert(address=address, rep=rep.id, connected_at=now()).on_conflict(
            conflict_target=[TeamAddress.address], update={TeamAddress.rep: rep.id, TeamAddress.connected_at: now()}
        ).execute()
        _note("team-address-added", rep=rep.email, address=address)
        beat("settings")
    return _saved("settings.people", _("Mail from %(address)s is logged as %(name)s’s.", address=address, name=rep.name or rep.email))


@pages.post("/people/team/<int:team_id>/remove")
@admin_only
def remove_team(team_id: int) -> Response:
    row = TeamAddress.get_or_none(TeamAddress.id == team_id)
    if row is None:
        abort(404)
    with write():
        TeamAddress.delete().where(TeamAddress.id == row.id).execute()
        _note("team-address-removed", address=row.address)
        beat("settings")
    return _saved("settings.people")


# --- tokens -------------------------------------------------------------------------------------------------------


@pages.get("/tokens")
@admin_only
def token_list() -> Response:
    return _tokens()


def _tokens(status: int = 200, where: str = "", wrong: str = "") -> Response:
    everybody = list(Rep.select().order_by(Rep.name, Rep.email))
    return _render("tokens", status, where, wrong, reps=everybody, tokens={rep.id: tokens.of_rep(viewer(), rep.id) for rep in everybody})


@pages.post("/tokens")
@admin_only
def add_token() -> Response:
    """A token acts as its rep. It is shown on the next page, once."""
    name = request.form.get("name", "")
    if not name.strip():
        return _tokens(422, "name", _("Say what the token is for, so that you know later which one to revoke."))
    made = tokens.create(viewer(), _id("rep"), name, house().seal)
    if made is None:
        abort(404)
    session["shown-token"] = house().seal.close(made[1])
    return _saved("settings.show_token", _("The token is made. Copy it now."))


@pages.get("/tokens/new")
@admin_only
def show_token() -> Response:
    return _render("token", token=house().seal.open(session.pop("shown-token", "") or ""))


@pages.post("/tokens/<int:token_id>/revoke")
@admin_only
def revoke_token(token_id: int) -> Response:
    if not tokens.revoke(viewer(), token_id):
        abort(404)
    return _saved("settings.token_list", _("The token does not work any more."))


# --- audit --------------------------------------------------------------------------------------------------------


@pages.get("/audit")
@admin_only
def audit() -> Response:
    found, more = in_words.page(viewer(), request.args.get("before", type=int))
    return _render("audit", found=found, more=more)
