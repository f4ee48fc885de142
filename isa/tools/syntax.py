"""Assembly source as statements: a name and its operands, each with the place where it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

LABEL = re.compile(r"\s*([A-Za-z_.$][\w.$@]*|\d+)\s*:")
NAME = re.compile(r"\s*([A-Za-z_.][\w.]*)")
STRING_OR_CHAR = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])'"
COMMENT = re.compile(rf"({STRING_OR_CHAR})|(#|//).*")
PIECES = re.compile(rf"(?:{STRING_OR_CHAR}|[^;\"'])+|[\"';]")


class AssemblyError(ValueError):
    """The source cannot be assembled; `line` and `column` count from 1."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(f"{place.file}:{place.line}:{place.column}: {message}")
        self.message, self.line, self.column = message, place.line, place.column


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the source."""

    file: str
    line: int
    column: int

    def moved(self, columns: int) -> Place:
        """The place `columns` to the right."""
        return Place(self.file, self.line, self.column + columns)


@dataclass(frozen=True, slots=True)
class Operand:
    """The text of one operand, without surrounding blanks."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Statement:
    """A label ("name:"), a directive (".name") or an instruction, with operands."""

    name: str
    operands: tuple[Operand, ...]
    place: Place

    @property
    def is_label(self) -> bool:
        """Whether it only gives a place a name."""
        return self.name.endswith(":")


def statements(source: str, file: str) -> Iterator[Statement]:
    """The statements of a source text, in order."""
    for number, line in enumerate(source.splitlines(), 1):
        code = COMMENT.sub(lambda m: m[1] or "", line)
        for piece in PIECES.finditer(code):
            if piece[0] != ";":
                yield from _piece(piece[0], Place(file, number, piece.start() + 1))


def _piece(text: str, start: Place) -> Iterator[Statement]:
    """Labels, then at most one directive or instruction."""
    position = 0
    while label := LABEL.match(text, position):
        yield Statement(label[1] + ":", (), start.moved(label.start(1)))
        position = label.end()
    if not text[position:].strip():
        return
    name = NAME.match(text, position)
    if name is None:
        blanks = len(text[position:]) - len(text[position:].lstrip())
        raise AssemblyError(f"cannot read {text[position:].strip()!r}", start.moved(position + blanks))
    operands = tuple(_operands(text, name.end(), start))
    yield Statement(name[1].lower(), operands, start.moved(name.start(1)))


def _operands(text: str, position: int, start: Place) -> Iterator[Operand]:
    """Operands between commas that stand outside strings and parentheses."""
    if not text[position:].strip():
        return
    depth, begin = 0, position
    for token in re.compile(rf"{STRING_OR_CHAR}|.").finditer(text, position):
        depth += (token[0] == "(") - (token[0] == ")")
        if token[0] == "," and depth == 0:
            yield _operand(text, begin, token.start(), start)
            begin = token.end()
    yield _operand(text, begin, len(text), start)


def _operand(text: str, begin: int, end: int, start: Place) -> Operand:
    part = text[begin:end]
    place = start.moved(begin + len(part) - len(part.lstrip()))
    if not part.strip():
        raise AssemblyError("an operand is missing", place)
    return Operand(part.strip(), place)
