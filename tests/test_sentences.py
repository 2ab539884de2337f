"""What is said to people is marked for the catalogue where it is raised, and pages say it in the reader's language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from core.errors import BadInput, NotAllowed, Sentence, said, sentence_of, together
from core.reasons import N_
from core.store.complaints import first_complaint
from core.store.fields import packed, unpacked
from core.web import forms

ROOT = Path(__file__).parent.parent
FILES = sorted([*ROOT.joinpath("core").rglob("*.py"), *ROOT.joinpath("plugins").rglob("*.py")])
# Which argument of the call is the sentence. BadInput in app.py speaks to the command line alone.
CALLS = {
    "BadInput": 1, "NotAllowed": 0, "demand": 1, "demand_id": 3, "HttpTrouble": 0, "NeedsPerson": 0, "RelayTrouble": 0, "NotTaken": 0, "Unusable": 1, "Nothing": 0,
    "WebAnswer": 1, "report": 0,
}  # fmt: skip
# A model's own checks say their sentence with ValueError.
VALIDATORS = {"field_validator", "model_validator", "AfterValidator", "BeforeValidator"}


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _marked(node: ast.expr, marked_names: set[str]) -> bool:
    """N_("a text") or a name for one; a sentence that something else has made, such as `complaint.sentence`, was marked there."""
    if isinstance(node, ast.Constant):
        return node.value == ""
    if isinstance(node, ast.Call) and _name(node.func) in ("N_", "_"):
        return len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
    if isinstance(node, ast.Call) and _name(node.func) == "Sentence":
        return _marked(node.args[0], marked_names)
    if isinstance(node, ast.Call) and _name(node.func) == "for_programs":
        return _marked(node.args[1], marked_names)  # the first one is English, for programs
    if isinstance(node, ast.IfExp):
        return _marked(node.body, marked_names) and _marked(node.orelse, marked_names)
    if isinstance(node, ast.Name):
        return node.id in marked_names or node.id == "sentence"
    if isinstance(node, ast.Call):
        return _name(node.func) in {"sentence_of", "together", *marked_names}
    return isinstance(node, ast.Attribute) and node.attr == "sentence"


def _marked_names(tree: ast.Module) -> set[str]:
    """Names that stand for a marked sentence, and functions that give nothing else."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _marked(node.value, set()):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.FunctionDef):
            given = [inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value is not None]
            names |= {node.name} if given and all(_marked(value, set()) for value in given) else set()
    return names


def _sentences(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in CALLS and len(node.args) > CALLS[_name(node.func)]:
            yield node.args[CALLS[_name(node.func)]]
        if isinstance(node, ast.FunctionDef) and any(isinstance(one, ast.Call) and _name(one.func) in VALIDATORS for one in node.decorator_list):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Raise) and isinstance(inner.exc, ast.Call) and _name(inner.exc.func) == "ValueError":
                    yield inner.exc.args[0]


def unmarked(source: str) -> list[int]:
    """The lines with a sentence that no catalogue will know."""
    tree = ast.parse(source)
    named = _marked_names(tree)
    return [node.lineno for node in _sentences(tree) if not _marked(node, named)]


def test_every_refusal_is_marked_for_the_catalogue() -> None:
    found = {str(path.relative_to(ROOT)): lines for path in FILES if (lines := unmarked(path.read_text(encoding="utf-8")))}
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        'raise BadInput("name", f"there is a source named {name} already")',
        'raise BadInput("name", "give a name")',
        'raise NotAllowed("Only an admin.")',
        'demand(True, "Only an admin.")',
        'raise BadInput("name", N_(f"there is {name}"))',
        '@field_validator("x")\ndef check(value):\n    raise ValueError("no")',
    ],
)
def test_what_is_not_marked_is_found(line: str) -> None:
    assert unmarked(line)


def _upper(text: str) -> str:
    """A language of its own: the gaps stay as they are."""
    return "".join(part if at % 2 else part.upper() for at, part in enumerate(_cut(text)))


def _cut(text: str) -> list[str]:
    return re.split(r"(%\(\w+\)s|\{\w+\})", text)


def test_an_error_is_english_for_programs_and_the_readers_language_on_pages() -> None:
    error = BadInput("name", N_("there is a source named %(name)s already"), name="100 % %(mine)s")
    assert str(error) == "name: there is a source named 100 % %(mine)s already"
    assert said(error.sentence, _upper) == "THERE IS A SOURCE NAMED 100 % %(mine)s ALREADY"
    assert said(NotAllowed(N_("Only the owner of a thread can split it.")).sentence, _upper) == "ONLY THE OWNER OF A THREAD CAN SPLIT IT."


def test_a_sentence_without_gaps_may_hold_a_percent_sign() -> None:
    assert said(BadInput("", "at 100 % it ends").sentence, _upper) == str(BadInput("", "at 100 % it ends")).upper()


def test_a_sentence_in_a_sentence_is_said_in_the_same_language() -> None:
    outer = Sentence("it failed: %(why)s", why=Sentence("no %(thing)s", thing="Water"))
    assert (str(outer), said(outer, _upper)) == ("it failed: no Water", "IT FAILED: NO Water")


class Everything(BaseModel):
    model_config = ConfigDict(extra="forbid")

    whole: int = Field(5, ge=1, le=9)
    number: float = Field(1.0, gt=0, lt=10)
    text: str = Field("four", min_length=2, max_length=6, pattern="^[a-z]+$")
    choice: Literal["deal", "lead"] = "deal"
    several: Annotated[list[Literal["deal", "lead"]], Field(min_length=1, max_length=2)] = ["deal"]
    needed: str

    @field_validator("needed")
    @classmethod
    def _short(cls, value: str) -> str:
        if value == "own":
            raise ValueError(Sentence(N_("%(address)s is no e-mail address"), address=value))
        return value


@pytest.mark.parametrize(
    "values, shown",
    [
        ({"whole": 0}, "GIVE 1 OR MORE"),
        ({"whole": 10}, "GIVE 9 OR LESS"),
        ({"whole": "x"}, "GIVE A WHOLE NUMBER"),
        ({"whole": 1.5}, "GIVE A WHOLE NUMBER"),
        ({"number": 0}, "GIVE MORE THAN 0.0"),
        ({"number": 10}, "GIVE LESS THAN 10.0"),
        ({"number": "x"}, "GIVE A NUMBER"),
        ({"text": "x"}, "USE AT LEAST 2 CHARACTERS"),
        ({"text": "xxxxxxx"}, "USE AT MOST 6 CHARACTERS"),
        ({"text": "A B"}, "THIS IS NOT IN THE FORM THAT IS NEEDED HERE"),
        ({"choice": "x"}, "USE ONE OF 'deal', 'lead'"),
        ({"several": []}, "CHOOSE AT LEAST 1"),
        ({"needed": None}, "GIVE A TEXT"),
        ({"needed": b"\xff"}, "THIS DOES NOT FIT HERE"),
        ({"needed": "own"}, "own IS NO E-MAIL ADDRESS"),
        ({"strange": 1}, "THERE IS NO SUCH SETTING"),
    ],
)
def test_a_validators_complaint_is_said_in_the_readers_language(values: dict[str, Any], shown: str) -> None:
    with pytest.raises(ValidationError) as trouble:
        Everything.model_validate({"needed": "yes", **values})
    assert said(first_complaint(trouble.value).sentence, _upper) == shown
    assert {name: said(error.sentence, _upper) for name, error in forms.complaints(trouble.value).items()} == {next(iter(values)): shown}


def test_programs_go_on_reading_what_the_validator_says() -> None:
    with pytest.raises(ValidationError) as trouble:
        Everything.model_validate({"needed": "yes", "whole": 0})
    assert str(first_complaint(trouble.value)) == "whole: Input should be greater than or equal to 1"


@pytest.mark.parametrize(
    "sentence",
    ["as it is", Sentence("%(host)s is away", host="mx"), together([Sentence("%(n)s came", n=3), Sentence("all at %(n)s", n="once")]), sentence_of("too-large", limit=5)],
)
def test_a_kept_sentence_can_still_be_said_in_any_language(sentence: str) -> None:
    found = unpacked(packed(sentence))
    assert (str(found), said(found, _upper)) == (str(sentence), said(sentence, _upper))
