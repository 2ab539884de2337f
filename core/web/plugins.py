"""Plugins: what is loaded, where from, how it fares. A broken one shows its error; everything else works."""

from __future__ import annotations

from flask import Blueprint, Response
from flask_babel import gettext as _

from core.health import plugins as health_of
from core.web import hx
from core.web.access import admin_only
from core.web.frame import house

pages = Blueprint("plugins", __name__, url_prefix="/plugins")


@pages.get("")
@admin_only
def page() -> Response:
    rows = health_of(house())
    return hx.render("plugins/page.html", "plugins/page.html", rows=rows, kinds=_kinds(), folder=house().settings.plugins_dir)


def _kinds() -> dict[str, str]:
    """The kinds in the reader's words; a plugin of others is told by its hooks."""
    return {
        "sources": _("source"), "checks": _("check"), "policies": _("linking policy"), "forwards": _("forward reader"), "connectors": _("connector"), "sinks": _("event sink"),
    }  # fmt: skip
