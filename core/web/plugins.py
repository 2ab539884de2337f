"""Plugins: what is loaded, where from, how it fares. A broken one shows its error; everything else works."""

from __future__ import annotations

from flask import Blueprint, Response

from core.health import plugins as health_of
from core.web import hx
from core.web.access import admin_only
from core.web.frame import house

pages = Blueprint("plugins", __name__, url_prefix="/plugins")


@pages.get("")
@admin_only
def page() -> Response:
    rows = health_of(house())
    return hx.render("plugins/page.html", "plugins/page.html", rows=rows, folder=house().settings.plugins_dir)
