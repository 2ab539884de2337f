"""docs/smtp.md names every setting with its true default."""

from __future__ import annotations

import re

import pytest

from plugins.sources import smtp
from plugins.sources.lmtp import LmtpSettings
from plugins.sources.smtp import SmtpSettings
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "smtp.md").read_text("utf-8")


def rows() -> dict[str, str]:
    """Setting → its default as written."""
    found: dict[str, str] = {}
    for line in PAGE.partition("## What limits hold")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        names = re.findall(r"`(\w+)`", cells[1]) if len(cells) > 4 else []
        defaults = cells[2].split(",") if len(cells) > 4 else []
        for number, name in enumerate(names):
            found[name] = defaults[number if len(defaults) == len(names) else 0].strip()
    return found


def test_every_setting_stands_on_the_page() -> None:
    assert set(SmtpSettings.model_fields) == set(rows())
    assert set(LmtpSettings.model_fields) == set(rows())


@pytest.mark.parametrize("name", [name for name, field in SmtpSettings.model_fields.items() if isinstance(field.default, (int, float)) and field.default is not False])
def test_its_default_is_the_one_written(name: str) -> None:
    assert float(rows()[name].split()[0]) == SmtpSettings.model_fields[name].default


def test_the_limits_on_the_page_are_those_of_the_code() -> None:
    for text in (
        f"recipients of a mail | {smtp.RECIPIENTS} ",
        f"wrong recipients in a connection | {smtp.WRONG_RECIPIENTS} ",
        f"unknown commands | {smtp.UNKNOWN_COMMANDS} ",
        f"| {smtp.CALLS[b'NOOP']} each, other commands {smtp.OTHER_CALLS}, RCPT {smtp.CALLS[b'RCPT']:,}",
        f"fields | {smtp.HOPS} ",
        f"connections | {smtp.MEMORY // smtp.MEGABYTE} MB",
        f"files | {smtp.DISK // smtp.MEGABYTE // 1024} GB",
        f"are taken | {smtp.CROWDED:.0f} s",
    ):
        assert text in PAGE, text
