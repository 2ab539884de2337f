"""A short run of the kill harness; the long one is `make chaos`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import chaos


@pytest.mark.timeout(400)
def test_no_acknowledged_mail_is_lost_or_doubled_when_processes_are_killed(tmp_path: Path) -> None:
    report = chaos.run(tmp_path, mails=150, kills=6, connections=4, seed=7)
    print(report)
    assert report.clean, str(report)
    assert sum(report.kills.values()) == 6
