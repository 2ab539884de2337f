"""Finding header blocks in lines: by structure and by the label table, one look-up a line, no pattern over the whole body.

A block is a From line with a Date or a Subject line beside it, of one quote depth; under a separator From alone will do. A single
labelled line is never a block: labels are as short as one letter, and people write "From: our side all is approved".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from core.mail.forward_lines import Lines
from core.mail.labels import DASHES, INVISIBLE, OWN_MARKS, Pair, Separator, exact_form, fold, subject_prefix, table, visible, words

MAX_BLOCKS = 11  # the forwarded mail and ten below it
MAX_BLOCK_LINES = 200
MAX_VALUE = 20_000  # characters of one header value
MAX_BLANKS = 4  # blank lines between a separator and its block
MAX_GLUED_LINES = 16  # lines that a block in one line may be wrapped over
MAX_WRAPPED = 3  # lines that an unmarked wrap may take

_DELIMITER = re.compile(r"[:：፡፦៖\t]")
_LETTER_COLON = re.compile(r"[^\s\d_][)`՝.]?\s?[:：]")
_REST_OF_NAME = re.compile(r"[^:：<>@]{0,60}(?:<|\[mailto:)[^<>@\s]{1,64}@[^<>@\s]{1,255}[>\]]")
_LABEL_WIDTH = 60
_DASHED = re.compile(r"[\s\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]{0,20}[-‐‑‒–—―−_=*]{3}")


@dataclass(frozen=True, slots=True)
class Found:
    """A separator line. `kind`: forward, original (written above replies too), rule (a bare line), unknown words between dashes."""

    kind: str
    line: int
    pairs: frozenset[Pair] = frozenset()
    rest: str = ""  # what stands behind it in the same line


@dataclass(slots=True)
class Block:
    """A header block: lines `start` up to (not including) `end`; `top` is its separator's line or `start`."""

    start: int
    end: int
    depth: int
    top: int
    separator: Found | None
    values: dict[str, str] = field(default_factory=dict)
    labels: list[tuple[str, str]] = field(default_factory=list)  # (kind, folded label), in order
    tabbed: bool = False
    glued: bool = False

    @property
    def order(self) -> list[str]:
        return [kind for kind, _ in self.labels]


def label_of(line: str) -> tuple[str, str] | None:
    """(folded label, value) of a line that begins with a label of the table and a colon; None for every other line."""
    if line.startswith("|"):
        return _table_row(line)
    found = _DELIMITER.search(line, 0, _LABEL_WIDTH)
    written = line[: found.start()] if found is not None else ""
    key = fold(written)
    if found is None or not key or key not in table().headers:
        return None if line.lstrip()[:1].isascii() else _own_mark(line)
    value = line[found.end() : found.end() + MAX_VALUE]
    if written.lstrip().startswith(("*", "_")):
        value = _unmarked(written, value.strip())
    return key, value.lstrip(":： \t\xa0")


def _unmarked(written: str, value: str) -> str:
    """The value without the stars that bold text leaves: `*From:* x`, `*From*: x`, `*From: x*`."""
    written = written.strip()
    marks = written[: len(written) - len(written.lstrip("*_"))]
    if value.startswith(marks):
        return value[len(marks) :]
    return value if written.endswith(marks) else value.removesuffix(marks)


def _table_row(line: str) -> tuple[str, str] | None:
    """The same for a row of the table that NetEase writes into the text: `| From | Bo <bo@cust.example> |`."""
    label, mark, rest = line[1 : 1 + MAX_VALUE].partition("|")
    key = fold(label) if len(label) <= _LABEL_WIDTH else ""
    if not mark or not key or key not in table().headers:
        return None
    return key, rest.rstrip(" \t\xa0").removesuffix("|").strip(" \t\xa0")


def _own_mark(line: str) -> tuple[str, str] | None:
    """The same for the few labels that end with another mark than a colon."""
    for mark in OWN_MARKS:
        at = line.find(mark, 0, _LABEL_WIDTH)
        if at > 0 and fold(line[:at]) in table().unmarked:
            return fold(line[:at]), line[at + 1 : at + 1 + MAX_VALUE].lstrip(":： \t\xa0")
    return None


def separator_of(line: str, number: int) -> Found | None:
    """The separator that this line is or begins with, or None."""
    if not line or line.isspace():
        return None
    if _DASHED.match(line):
        return _dashed(line, number)
    if len(line) > 120:
        return None
    # A sentence without dashes (Apple Mail, MailMate): only as the table writes it, with its colon. Asked first, because
    # folding the words of every line of a long mail is dear.
    if not visible(line).rstrip(" \t*").endswith((":", "：")):
        return None
    known = table().separators.get(words(line))
    if known is None or not any(form.endswith((":", "：")) for form in known.exact):
        return None
    return _known(known, line, number)


def _known(known: Separator, line: str, number: int, rest: str = "") -> Found:
    pairs = known.exact.get(exact_form(line), known.pairs)
    return Found("forward" if known.forward else "original", number, pairs, rest)


def _dashed(line: str, number: int) -> Found | None:
    beginning = line[:1000]
    shown = visible(beginning).strip()
    core = words(shown)
    if not core:
        return Found("rule", number) if len(shown) >= 10 else None
    known = table().separators.get(core)
    if known is not None:
        return _known(known, shown, number)
    inner = shown.lstrip(DASHES + " ")
    close = inner.find("---")
    if close < 1:
        return None
    known = table().separators.get(words(inner[:close]))
    rest = inner[close:].lstrip(DASHES + " ")
    if known is not None:  # the whole block stands behind it (Yahoo, some Samsung)
        head = shown[: len(shown) - len(rest)]
        return _known(known, head, number, _as_written(line, beginning, rest))
    if not rest and close <= 80:
        return Found("unknown", number)
    return None


def _as_written(line: str, head: str, shown: str) -> str:
    """The end of `line` whose beginning `head` shows as `shown`, invisible characters kept: inside an address they make it a bad one."""
    if not shown:
        return ""
    seen = _Shown(head)
    return line[len(head) - len(seen.slice(len(seen.text.rstrip()) - len(shown), len(seen.text))) :][:MAX_VALUE].rstrip()


def _sentence(line: str, number: int) -> Found | None:
    """A separator without dashes that its block stands behind ("Begin forwarded message: From: …": line ends lost on the way)."""
    head, colon, rest = line[:MAX_VALUE].partition(":")
    if not colon or len(head) > 120 or label_of(rest.lstrip()) is None:
        return None
    known = table().separators.get(words(head))
    if known is None or not any(form.endswith((":", "：")) for form in known.exact):
        return None
    return _known(known, visible(head) + ":", number, line[len(head) + 1 :].lstrip())


def _is_prose(line: str) -> bool:
    """True for most lines of most mails: no label can stand at their head and no separator in them. Cheap, and never wrong."""
    if not line[0].isalnum() or not line.isascii():
        return False
    return _DELIMITER.search(line, 0, _LABEL_WIDTH) is None and not line.rstrip(" \t*").endswith(":")


def blocks(lines: Lines, subject: str = "") -> list[Block]:
    """Every header block from the top, at most MAX_BLOCKS. `subject` is the mail's own: it shows where a wrapped subject ends."""
    found: list[Block] = []
    pending: Found | None = None
    blanks = 0
    index = 0
    subject = _comparable(subject)
    while index < len(lines) and len(found) < MAX_BLOCKS:
        text = lines.text[index]
        if not text or text.isspace():
            blanks += 1
            if blanks > MAX_BLANKS:
                pending = None
            index += 1
            continue
        if _is_prose(text):
            pending = None
            blanks = 0
            index += 1
            continue
        separator = separator_of(text, index)
        if separator is None and index + 1 < len(lines) and _DASHED.match(text) and len(text) < 120:
            separator = separator_of(f"{text.rstrip()} {lines.text[index + 1].strip()}", index)  # cut in two on the way
            separator = None if separator is None or separator.rest or separator.kind == "unknown" else separator
            index += separator is not None
        if separator is None and len(text) > 40 and not _DASHED.match(text):
            separator = _sentence(text, index)
        if separator is not None:
            if separator.rest:
                entries, taken = _cut_lines(lines, index, separator.rest, separator)
                if entries:
                    block = _read(lines, index, separator, subject, entries, taken)
                    if _is_block(block, separator):
                        found.append(block)
                        index, pending = block.end, None
                        continue
            # A bare rule above or below the words does not take their place.
            if separator.kind != "rule" or pending is None or pending.kind == "rule":
                pending = separator
            blanks = 0
            index += 1
            continue
        if label_of(text) is not None:
            block = _read(lines, index, pending, subject, [])
            if _is_block(block, pending):
                _close(block, lines)
                found.append(block)
            elif not visible(text).strip():
                block.end = index + 1
            index = max(block.end, index + 1)
            pending = None
            continue
        if not visible(text).strip(" \t>*_"):
            index += 1  # a line of marks only is as good as blank
            continue
        pending = None
        blanks = 0
        index += 1
    return found


def _close(block: Block, lines: Lines) -> None:
    """Let the block end behind its separator where that is repeated below the headers (Zoho)."""
    if block.separator is None or block.separator.kind == "rule":
        return
    following = [i for i in range(block.end, min(block.end + 4, len(lines))) if lines.text[i].strip()]
    if not following or words(lines.text[following[0]]) != words(lines.text[block.separator.line]):
        return
    if len(following) < 2 or label_of(lines.text[following[1]]) is None:
        block.end = following[0] + 1


def _is_block(block: Block, pending: Found | None) -> bool:
    kinds = set(block.values)
    if "from" not in kinds:
        return False
    if pending is not None and pending.kind in ("forward", "original"):
        return True
    if pending is not None:
        return bool(kinds & {"date", "subject"})
    return len(kinds & {"from", "date", "subject", "to"}) >= 3 and bool(kinds & {"date", "subject"})


# --- one header a line -----------------------------------------------------------------------------------------------


_Entry = tuple[str, list[str]]  # (folded label, its lines)


def _read(lines: Lines, start: int, pending: Found | None, subject: str, entries: list[_Entry], taken: int = 0) -> Block:
    """The run of header lines that begins at `start`, whether it makes a block or not.

    `entries`: those already cut out of the first `taken` lines.
    """
    depth = lines.depth[start]
    block = Block(start, start, depth, pending.line if pending else start, pending, glued=bool(entries))
    seen = set(_kinds(entries))
    index = start + taken
    gaps = 0
    last = min(len(lines), start + MAX_BLOCK_LINES)
    while index < last:
        text = lines.text[index]
        if entries and not entries[-1][1][-1].strip() and _goes_on(entries[-1], text, subject):
            _extend(entries[-1][1], text)  # a subject that stands below its label
            index += 1
            continue
        labelled = label_of(text) if lines.depth[index] == depth or _lost_its_mark(lines, index, depth) else None
        if labelled is not None:
            kinds = table().headers[labelled[0]]
            if not _new(kinds, seen, entries) or ("from" in seen and _complete(seen) and set(kinds) <= {"other"} and not _follows_directly(lines, index)):
                break
            cut, taken = _cut_lines(lines, index, text, pending) if "subject" not in kinds else ([], 1)
            block.glued = block.glued or bool(cut)
            entries += cut or [(labelled[0], [labelled[1]])]
            seen.update(_kinds(cut) if cut else _only_kind(labelled[0]))
            block.tabbed = block.tabbed or "\t" in text[: _LABEL_WIDTH + 2]
            index += taken
            continue
        if not visible(text).strip(" \t*_"):
            after = _next_label(lines, index, depth, seen, gaps)
            if after is None:
                break
            index = after
            gaps += 1
            continue
        taken = 0
        if block.glued and _complete(seen):
            taken = 1 if _goes_on(entries[-1], text, subject) else 0
        elif separator_of(text, index) is None:
            taken = _continuation(lines, start, index, depth, seen, entries, subject)
        if not taken:
            break
        for at in range(index, index + taken):
            _extend(entries[-1][1], lines.text[at], closed=lines.closed(at - 1))
        index += taken
    block.end = index
    if gaps and not _complete(seen) and "from" in seen and _starts_anew(lines, index, depth):
        block.end = start + 1  # words of a note and a block below them: the block begins further down
        return block
    _settle(block, entries)
    return block


def _lost_its_mark(lines: Lines, index: int, depth: int) -> bool:
    """True for a line without quote marks between quoted ones: mail programs that wrap lose some."""
    return lines.depth[index] == 0 and 0 < index < len(lines) - 1 and lines.depth[index - 1] == depth == lines.depth[index + 1]


def _only_kind(label: str) -> tuple[str, ...]:
    kinds = table().headers[label]
    return tuple(kinds) if len(kinds) == 1 else ()


def _new(kinds: dict[str, frozenset[Pair]], seen: set[str], entries: list[_Entry]) -> bool:
    """True when the label says something that the block has not yet. One with two meanings must speak the language of the others."""
    fresh = [kind for kind in kinds if kind in ("other", "reply_to") or kind not in seen]
    if len(kinds) == 1 or len(fresh) == len(kinds) or not fresh:
        return bool(fresh)
    before = {language for label, _ in entries for pairs in table().headers[label].values() for _, language in pairs}
    return any(language in before for kind in fresh for _, language in kinds[kind])


def _complete(seen: set[str]) -> bool:
    return {"from", "to", "date", "subject"} <= seen


def _follows_directly(lines: Lines, index: int) -> bool:
    return index > 0 and bool(lines.text[index - 1].strip())


def _next_label(lines: Lines, index: int, depth: int, seen: set[str], gaps: int) -> int | None:
    """Where the block goes on behind blank lines: text made from paragraphs has one below every line, BlackBerry leaves some."""
    if _complete(seen):
        return _late_copy(lines, index, depth) if gaps >= 3 and "cc" not in seen else None
    for further in range(index + 1, min(index + 3, len(lines))):
        text = lines.text[further]
        if not visible(text).strip(" \t*_"):
            continue
        labelled = label_of(text) if lines.depth[further] == depth else None
        if labelled is None or not (set(table().headers[labelled[0]]) - seen - {"other"}):
            return None
        return None if _own_block(lines, further, depth) else further
    return None


def _late_copy(lines: Lines, index: int, depth: int) -> int | None:
    """The Cc line of a block that has a blank line below every header and ends with it."""
    for further in range(index + 1, min(index + 3, len(lines))):
        if visible(lines.text[further]).strip(" \t*_"):
            labelled = label_of(lines.text[further]) if lines.depth[further] == depth else None
            copied = labelled is not None and "cc" in table().headers[labelled[0]] and "@" in labelled[1]
            return further if copied else None
    return None


def _own_block(lines: Lines, index: int, depth: int) -> bool:
    """True when the lines from `index` up to the next blank one are headers with a From among them: a block of their own."""
    kinds: set[str] = set()
    count = 0
    for line in range(index, min(index + 8, len(lines))):
        labelled = label_of(lines.text[line]) if lines.depth[line] == depth else None
        if labelled is None:
            break
        kinds.update(table().headers[labelled[0]])
        count += 1
    return count > 1 and "from" in kinds


def _starts_anew(lines: Lines, index: int, depth: int) -> bool:
    """True when the next line with words is a From line."""
    for line in range(index, min(index + 3, len(lines))):
        if visible(lines.text[line]).strip(" \t*_"):
            labelled = label_of(lines.text[line]) if lines.depth[line] == depth else None
            return labelled is not None and "from" in table().headers[labelled[0]]
    return False


def _continuation(lines: Lines, start: int, index: int, depth: int, seen: set[str], entries: list[tuple[str, list[str]]], subject: str) -> int:
    """How many lines from `index` belong to the header line above: 0 when the block has ended."""
    text = lines.text[index]
    label, so_far = entries[-1]
    kinds = table().headers[label]
    value = so_far[-1].rstrip()
    if lines.depth[index] == depth and text[:1] in (" ", "\t") and not lines.text[start][:1].isspace():
        return 1  # folded as in RFC 5322 2.2.3
    if lines.flowed and lines.raw[index - 1].endswith(" ") and (value or not _complete(seen)):
        return 1  # RFC 3676 4.2
    if kinds.keys() & {"from", "to", "cc", "reply_to"}:
        open_angle = value.rfind("<") > value.rfind(">")
        shown = visible(text).lstrip()
        if value.endswith((",", ";")) or open_angle or (shown.startswith("<") and "@" in shown) or (not value and "@" in shown):
            return 1
        taken = _rest_of_name(lines, index) if _dangles("".join(so_far)) else 0
        if taken:
            return taken
        if value.endswith(">"):
            return 0  # the list has ended
    if not value and "subject" in kinds and not _complete(seen - {"subject"}):
        return 1
    if _goes_on(entries[-1], text, subject):
        return 1
    if "subject" in kinds and subject and _comparable("".join(so_far)) == subject:
        return 0
    # A wrap without any mark: only when the block goes on right below it.
    for further in range(index + 1, min(index + 1 + MAX_WRAPPED, len(lines))):
        if not lines.text[further].strip():
            return 0
        labelled = label_of(lines.text[further]) if lines.depth[further] == depth else None
        if labelled is not None:
            return further - index if set(table().headers[labelled[0]]) - seen - {"other", "reply_to"} else 0
    return 0


def _goes_on(entry: _Entry, text: str, subject: str) -> bool:
    """True when the mail's own subject says that this line continues the Subject line above it."""
    label, so_far = entry
    if not subject or "subject" not in table().headers[label] or len(so_far) > MAX_WRAPPED:
        return False
    before = _comparable("".join(so_far))
    return before != subject and subject.startswith(before) and subject.startswith(_comparable("".join((*so_far, " ", text)))) and bool(text.strip())


def _dangles(value: str) -> bool:
    """True when behind the last address of a list stands the beginning of another name."""
    tail = value[value.rfind("@") + 1 :]
    comma = max(tail.rfind(","), tail.rfind(";"))
    return ("@" in value and comma >= 0 and bool(tail[comma + 1 :].strip())) or ("@" not in value and bool(value.strip()))


def _rest_of_name(lines: Lines, index: int) -> int:
    """How many lines from `index` finish a name that was begun above: words, and then an address in brackets."""
    for further in range(index, min(index + MAX_WRAPPED, len(lines))):
        shown = visible(lines.text[further]).lstrip()
        if _REST_OF_NAME.match(shown):
            return further - index + 1
        if not shown or len(shown) > 100 or any(mark in shown for mark in ":：@"):
            break
    return 0


def _comparable(subject: str) -> str:
    return re.sub(r"\W", "", subject_prefix(subject)[1].casefold()) if subject else ""


def _extend(so_far: list[str], line: str, *, closed: bool = False) -> None:
    line = line.strip()
    if closed:
        so_far[-1] = so_far[-1].removesuffix(" ")
    if closed or (so_far[-1].rfind("<") > so_far[-1].rfind(">") and not so_far[-1].endswith((" ", "\t"))):
        so_far.append(line)  # an address cut in two: no space between
    else:
        so_far.append(" " + line)


def _settle(block: Block, entries: list[tuple[str, list[str]]]) -> None:
    """Read the kinds off the labels; where one label has two, its neighbours decide."""
    headers = table().headers
    certain = {next(iter(headers[label])) for label, _ in entries if len(headers[label]) == 1}
    for label, parts in entries:
        kinds = headers[label]
        kind = next(iter(kinds))
        if len(kinds) > 1:
            kind = next((k for k in ("from", "to", "date", "subject", "cc") if k in kinds and k not in certain), kind)
            certain.add(kind)
        block.labels.append((kind, label))
        block.values.setdefault(kind, "".join(parts)[:MAX_VALUE].strip())


# --- the whole block in one line ----------------------------------------------------------------------------------------


def _cut_lines(lines: Lines, index: int, text: str, separator: Found | None) -> tuple[list[_Entry], int]:
    """(the headers of the line `index` that holds several, how many lines they take): Yahoo's one line may be wrapped.

    `text` is what of that line stands behind the separator. ([], 1) when it holds one header or none.
    """
    glued = separator is not None and bool(separator.rest)
    best = _cut_line(text, separator)
    taken = 1
    if (not best and not glued) or _kinds(best) >= _FOUR:
        return best, 1
    for further in range(1, MAX_GLUED_LINES):
        at = index + further
        if at >= len(lines) or not visible(lines.text[at]).strip() or len(text) > MAX_VALUE or separator_of(lines.text[at], at) is not None:
            break
        text = (text.removesuffix(" ") if lines.closed(at - 1) else text + " ") + lines.text[at].strip()
        if "@" not in text and further >= MAX_WRAPPED:
            break
        cut = _cut_line(text, separator)
        if _kinds(cut) > _kinds(best):
            best, taken = cut, further + 1
        if _kinds(best) >= _FOUR:
            break
    return best, taken


_FOUR = frozenset(("from", "to", "date", "subject"))


def _kinds(entries: list[_Entry]) -> frozenset[str]:
    """What the labels say; where one has two meanings ("Da": From in Italian, To in Breton), the one that the others leave."""
    certain = {kind for label, _ in entries for kind in _only_kind(label)}
    open_kinds = [table().headers[label] for label, _ in entries if len(table().headers[label]) > 1]
    return frozenset(certain | {next((kind for kind in ("from", "to", "date", "subject", "cc") if kind in kinds and kind not in certain), "") for kinds in open_kinds})


def _cut_line(text: str, separator: Found | None) -> list[_Entry]:
    """The headers of a line that holds several, as Yahoo and some Samsung write: cut at known labels from left to right.

    [] when it holds one or none. Without a separator above, all of From, To, Date and Subject must stand in the line.
    """
    text = text[:MAX_VALUE].strip()
    if len(_LETTER_COLON.findall(text)) - text.lower().count("mailto:") < 2:
        return []
    labelled = label_of(text)
    if labelled is None:
        return []
    languages = {language for pairs in table().headers[labelled[0]].values() for _, language in pairs}
    if separator is not None:
        shared = languages & {language for _, language in separator.pairs}
        languages = shared or languages
    shown = _Shown(text)
    best: list[tuple[str, str, str]] = []
    for language in sorted(languages):
        for addressed in (True, False):
            cut = _cut(shown, table().spellings.get(language, {}), addressed=addressed)
            if len({kind for kind, _, _ in cut}) > len({kind for kind, _, _ in best}):
                best = cut
    kinds = {kind for kind, _, _ in best} & _FOUR
    wanted = 2 if separator is not None and separator.kind in ("forward", "original") else 4
    return [(fold(label), [value.strip()]) for _, label, value in best] if len(kinds) >= wanted else []


class _Shown:
    """A line as it shows (`text`), and back to what was written: invisible characters inside an address must not get lost."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.text = visible(written)
        self._places: list[int] | None = None
        if len(self.text) != len(written):
            self._places = [at for at, char in enumerate(written) if ord(char) not in INVISIBLE]

    def slice(self, start: int, end: int) -> str:
        """What was written from where the shown text has `start` up to `end`."""
        if self._places is None:
            return self.written[start:end]
        first = self._places[start] if start < len(self._places) else len(self.written)
        return self.written[first : self._places[end] if end < len(self._places) else len(self.written)]


def _cut(shown: _Shown, spellings: dict[str, frozenset[str]], *, addressed: bool) -> list[tuple[str, str, str]]:
    """[(kind, label, value)] of a line that begins with a label; [] when it does not.

    `addressed`: behind a From, To or Cc no label is looked for before an address has come, so that names may look like labels.
    """
    text = shown.text
    marks: list[tuple[int, int, str, str]] = []  # (start, end, kind, label)
    seen: set[str] = set()
    position = 0
    present = [(label, kinds) for label, kinds in spellings.items() if label in text]
    while len(marks) < 8:
        best: tuple[int, int, str, str] | None = None
        if addressed and marks and marks[-1][2] in ("from", "to", "cc"):
            position = max(position, text.find("@", position))
        for label, kinds in present:
            kind = next((k for k in ("from", "to", "cc", "date", "subject") if k in kinds and k not in seen), None)
            if kind is None:
                continue
            at = _find_label(text, label, position, first=not marks)
            if at is not None and (best is None or at[0] < best[0] or (at[0] == best[0] and at[1] > best[1])):
                best = (at[0], at[1], kind, label)
        if best is None or (not marks and best[0] > 0):
            break
        marks.append(best)
        seen.add(best[2])
        position = best[1]
        if best[2] == "subject" and {"from", "to", "date"} <= seen:
            break  # the subject is the last one: what stands in it is text
    if not marks:
        return []
    ends = [start for start, _, _, _ in marks[1:]] + [len(text)]
    return [(kind, label, shown.slice(end, stop)) for (_, end, kind, label), stop in zip(marks, ends, strict=True)]


def _find_label(text: str, label: str, position: int, *, first: bool) -> tuple[int, int] | None:
    """(start, end) of the label with its colon; Yahoo leaves the colon of some labels away, glued to what stands before them."""
    for _ in range(20):
        at = text.find(label, position)
        if at < 0 or (first and at > 0):
            return None
        end = at + len(label)
        tail = text[end : end + 2]
        before = text[at - 1] if at else " "
        if _parted(before, label):
            if tail[:1] in (":", "：") or tail == " :":
                return at, end + (1 if tail[:1] in (":", "：") else 2)
            if tail[:1] == " " and not first and not before.isspace():
                return at, end
        position = at + 1
    return None


def _parted(before: str, label: str) -> bool:
    """True when `label` may begin behind the character `before`: "…comTo:" and "9:26 AMTo:" are glued, "AUTO:" is one word."""
    if not before.isalpha() or len(label) > 3 or not label.isascii():
        return True
    return len(label) > 1 and label[0].isupper() and (not before.isupper() or label[1].islower())
