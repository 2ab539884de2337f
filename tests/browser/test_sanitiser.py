"""The sanitiser before the only judge that counts: what it lets through runs nothing, even without frame and policy around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.mail.html import safe_html

pytestmark = [pytest.mark.browser, pytest.mark.corpora]

AT_ONCE = 250


def test_no_payload_of_the_corpus_runs_or_asks_for_anything(browser, corpora: Path) -> None:
    payloads = [json.loads(line) for name in ("mail.jsonl", "payloads.jsonl") for line in (corpora / "xss" / name).read_text("utf-8").splitlines()]
    assert len(payloads) > 3000
    context = browser.new_context()
    page = context.new_page()
    ran: list[str] = []
    page.on("dialog", lambda dialog: (ran.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: ran.append(request.url) if not request.url.startswith(("about:", "data:", "cid:")) else None)
    page.add_init_script("window.__ran = []; for (const name of ['alert', 'confirm', 'prompt', 'print']) window[name] = (text) => window.__ran.push(name + ' ' + text)")
    page.goto("about:blank")
    for first in range(0, len(payloads), AT_ONCE):
        bodies = "".join(f"<div>{safe_html(str(row.get('payload') or row.get('html') or ''))}</div>" for row in payloads[first : first + AT_ONCE])
        page.set_content(f"<!doctype html><title>mail</title>{bodies}", wait_until="load")
        # What waits for a person to do something: point at it, press it, focus it.
        page.evaluate(
            "for (const one of document.querySelectorAll('*')) for (const kind of ['mouseover', 'focus', 'error', 'load', 'toggle']) one.dispatchEvent(new Event(kind))"
        )
        ran += page.evaluate("window.__ran")
        assert page.evaluate("document.querySelectorAll('script, iframe, object, embed, form, svg, math, base, link, meta[http-equiv]').length") == 0
        assert ran == [], payloads[first]["id"]
    context.close()
