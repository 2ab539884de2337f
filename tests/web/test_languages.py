"""A page in another language holds that language's words, those of a record's status too."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from markupsafe import escape

from core.store.database import connected
from core.store.models import Rep
from tests.web.world import World
from tools import messages


@pytest.mark.parametrize("language", messages.languages())
def test_a_reader_sees_the_pages_in_the_language_chosen(world: World, mail: SimpleNamespace, language: str) -> None:
    ana = world.rep("ana").id
    with connected():
        Rep.update(language=language).where(Rep.id == ana).execute()
    client, known = world.client("ana"), messages.read(language)
    in_words = {text: str(escape(known[text].string)) for text in ("Deal", "open", "Needs a choice", "None of these", "It may belong here")}
    status = f"{in_words['Deal']} · {in_words['open']}"
    for path, texts in {
        "/inbox": [in_words["Needs a choice"]],
        "/choices": [status, in_words["None of these"]],
        f"/threads/{mail.asked}": [status, in_words["It may belong here"]],
        f"/threads/{mail.asked}/find?q=desks": [status],
        "/anything?q=desks": [status],
    }.items():
        page = client.get(path).text
        assert [text for text in texts if text not in page] == [], (path, page)
