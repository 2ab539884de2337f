"""One row of the inbox, drawn in plain Python: a page holds many, and in a template each would cost five times as much.

Everything that comes from outside passes through `escape`; everything else here is ours. What can be done with a row stands
once in the page (inbox/_acts.html) and is put beside each row by the script; icons are drawn by the style sheet.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from markupsafe import Markup, escape

from core.store.rows import ThreadRow
from core.web.frame import KIND_PATHS, is_admin, me, sentence, shortly
from core.web.frame import page_text as _

_SNIPPET = 160
_RECORDS = ("deal", "lead", "project")


def _sign(look: str, label: str) -> str:
    return f'<i class="sign {look}" role="img" title="{escape(label)}"></i>'


@dataclass
class Words:
    """What the rows of one page have in common: who reads them, and each text looked up once."""

    reader: int
    admin: bool
    shared_by: dict[str, str] = field(default_factory=dict)
    private_of: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_reader(cls) -> Words:
        return cls(me().id, is_admin())

    @cached_property
    def nobody(self) -> str:
        return escape(_("(nobody named)"))

    @cached_property
    def untitled(self) -> str:
        return escape(_("(no subject)"))

    @cached_property
    def unread(self) -> str:
        word = escape(_("Unread:"))
        return f'<span class="dot"></span> <span class="unseen">{word}</span> '

    @cached_property
    def asks(self) -> str:
        return escape(_("Needs a choice"))

    @cached_property
    def unlinked(self) -> str:
        return escape(_("Not linked"))

    @cached_property
    def unlinked_why(self) -> str:
        return _("No record was linked. Open the conversation to read why.")

    @cached_property
    def clip(self) -> str:
        return _sign("paperclip", _("With attachments"))

    @cached_property
    def own_lock(self) -> str:
        return _sign("lock", _("Private: only you read it"))

    @cached_property
    def proved(self) -> dict[str, str]:
        return {
            "dkim": _sign("shield-check good", _("The sender is proved by DKIM")),
            "spf": _sign("shield-check good", _("The sender is proved by SPF")),
            "both": _sign("shield-check good", _("The sender is proved by DKIM and SPF")),
            "released": _sign("shield-question-mark warn", _("A person released this mail; its sender was not proved")),
        }

    @cached_property
    def otherwise_proved(self) -> str:
        return _sign("shield-check good", _("The sender is proved"))

    def why(self, code: str) -> str:
        if code not in self.reasons:
            self.reasons[code] = sentence(code)
        return self.reasons[code]

    def sharing(self, row: ThreadRow) -> str:
        """The sign of who reads it: the company, or one person."""
        owner = row.owner_name or row.owner
        if row.sharing == "company":
            if owner not in self.shared_by:
                self.shared_by[owner] = _sign("building", _("Shared with the company by %(name)s", name=owner))
            return self.shared_by[owner]
        if row.owner_id == self.reader:
            return self.own_lock
        if owner not in self.private_of:
            self.private_of[owner] = _sign("lock", _("Private: only %(name)s reads it", name=owner))
        return self.private_of[owner]


def line(row: ThreadRow, words: Words, acts: str = "") -> Markup:
    """The row as an item of the list; `acts`: markup of what is being done with it just now."""
    new = " new" if row.unread else ""
    return Markup(  # noqa: S704 - every text in it was escaped
        f'<li id="row-{row.id}"{_may(row, words)}><div class="row{new}">{_head(row, words)}'
        f'<div class="chips">{_chips(row, words)}</div></div><div class="side"><span class="facts">{_facts(row, words)}</span> '
        f"{shortly(row.last_at)}</div>{acts}</div></li>\n"
    )


def _may(row: ThreadRow, words: Words) -> str:
    """Which acts the script puts beside the row: l(ink), make p(rivate one shared) or c(ompany's one private), archive, or a(rchived) back."""
    if row.redacted:
        return ""
    mine = row.owner_id == words.reader
    link = "l" if mine or words.admin else ""
    share = ("c" if row.sharing == "company" else "p") if mine else ""
    return f' data-may="{link}{share}{"a" if row.archived else "i"}"'


def _head(row: ThreadRow, words: Words) -> str:
    """The tick, who, and the subject with the beginning of the newest mail. Of another's private mail an admin reads whose it is."""
    if row.redacted:
        owner = escape(row.owner_name or row.owner)
        whose = escape(_("Private mail of %(name)s", name=row.owner_name or row.owner))
        return (
            f'<div class="mark"><i class="sign lock"></i></div><div class="who" hx-disable>{owner}</div><div class="what" hx-disable><div class="line">'
            f'<a class="open quiet" href="/threads/{row.id}">{whose}</a></div>'
        )
    title = escape(row.subject) if row.subject else words.untitled
    number = f" <small>{row.message_count}</small>" if row.message_count > 1 else ""
    return (
        f'<div class="mark"><input type="checkbox" form="many" name="thread" value="{row.id}" aria-labelledby="t{row.id}"></div>'
        f'<div class="who" hx-disable>{escape(row.who) if row.who else words.nobody}{number}</div><div class="what" hx-disable><div class="line">'
        f'{words.unread if row.unread else ""}<a class="open subject" id="t{row.id}" href="/threads/{row.id}">{title}</a> '
        f'<span class="snippet">{escape(row.snippet[:_SNIPPET])}</span></div>'
    )


def _chips(row: ThreadRow, words: Words) -> str:
    """Its records, or that there is none, and its organisations."""
    parts = [_chip(chip["kind"], f"/{KIND_PATHS[chip['kind']]}/{int(chip['id'])}", escape(chip["title"])) for chip in row.chips if chip["kind"] in _RECORDS]
    here = f"/threads/{row.id}#links"
    if row.waiting:
        parts.append(_chip("ask", here, words.asks, words.why(row.waiting_reason or row.waiting)))
    elif not row.linked and not row.redacted:
        parts.append(_chip("none", here, words.unlinked, words.why(row.waiting_reason) if row.waiting_reason else words.unlinked_why))
    parts += [_chip("organisation", f"/organisations/{int(chip['id'])}", escape(chip["title"])) for chip in row.chips if chip["kind"] == "organisation"]
    return "".join(parts)


def _chip(look: str, path: str, label: str, why: str = "") -> str:
    title = f' title="{escape(why)}"' if why else ""
    return f'<a class="chip {look}" href="{path}"{title}>{label}</a>'


def _facts(row: ThreadRow, words: Words) -> str:
    """Signs: attachments, how the sender was proved, who reads it."""
    clip = words.clip if row.has_attachment else ""
    badge = words.proved.get(row.badge, words.otherwise_proved) if row.badge else ""
    return f"{clip}{badge}{words.sharing(row)}"
