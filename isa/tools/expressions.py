"""Numbers in assembly source: literals, symbols, arithmetic, and the relocation functions %hi, %lo and their kin.

expression   = term (operator term)*            operators of C, with C's precedence
term         = number | 'character' | symbol | 1f | 1b | . | -term | ~term | (expression) | %function(expression)
"""

from __future__ import annotations

import re
from collections.abc import Callable

TOKEN = re.compile(
    r"\s*(?:(?P<local>\d+[fb]\b(?!x))|(?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|\d+)|(?P<char>'(?:\\.|[^'\\])')"
    r"|(?P<function>%\w+)|(?P<symbol>[A-Za-z_.$][\w.$@]*)|(?P<operator><<|>>|[-+*/%&|^~()]))"
)
LARGEST = 128  # bits of a value, digits of a literal
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", "'": "'", '"': '"'}


def shift(amount: int) -> int:
    """A shift amount that makes no monster of a number."""
    if not 0 <= amount <= 1024:
        raise ValueError(f"shift by {amount}")
    return amount


Operation = Callable[[int, int], int]
PRECEDENCE: list[dict[str, Operation]] = [
    {"|": lambda a, b: a | b},
    {"^": lambda a, b: a ^ b},
    {"&": lambda a, b: a & b},
    {"<<": lambda a, b: a << shift(b), ">>": lambda a, b: a >> shift(b)},
    {"+": lambda a, b: a + b, "-": lambda a, b: a - b},
    {"*": lambda a, b: a * b, "/": lambda a, b: a // b, "%": lambda a, b: a % b},
]


class BadExpression(ValueError):
    """The text is no expression, or has no value; `position` says where in it."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class Unknown(BadExpression):
    """A symbol that has no value (yet)."""


def high(value: int) -> int:
    """What lui or auipc takes so that a signed 12-bit `low` completes it."""
    return (value + 0x800) >> 12 & 0xFFFFF


def low(value: int) -> int:
    """The signed 12 bits that `high` leaves."""
    return (value & 0xFFF ^ 0x800) - 0x800


class Reader:
    """Reads one expression; symbols get their values from `lookup`, relative functions theirs from `here`."""

    def __init__(self, text: str, lookup: Callable[[str], int | None], functions: dict[str, Callable[[int], int]]):
        """An expression in `text`, with the functions that a "%" may name."""
        self.text = text
        self.lookup = lookup
        self.functions = functions
        self.position = 0
        self.kind, self.token, self.start = "", "", 0
        self._advance()

    def value(self) -> int:
        """The value of the whole text.

        Raises:
            BadExpression: it has none.
        """
        result = self._level(0)
        if self.kind:
            raise BadExpression(f"{self.token!r} is one thing too many", self.start)
        if result.bit_length() > LARGEST:
            raise BadExpression(f"a number of {result.bit_length()} bits is too large", 0)
        return result

    def _advance(self) -> None:
        rest = self.text[self.position :]
        self.start = self.position + len(rest) - len(rest.lstrip())
        match = TOKEN.match(self.text, self.position)
        if match is None:
            if rest.strip():
                raise BadExpression(f"cannot read {rest.strip()!r}", self.start)
            self.kind, self.token = "", ""
            return
        self.kind = match.lastgroup or ""
        self.token = match[self.kind]
        self.position = match.end()

    def _level(self, level: int) -> int:
        if level == len(PRECEDENCE):
            return self._term()
        left = self._level(level + 1)
        while self.kind == "operator" and self.token in PRECEDENCE[level]:
            apply, start = PRECEDENCE[level][self.token], self.start
            self._advance()
            right = self._level(level + 1)
            try:
                left = apply(left, right)
            except (ZeroDivisionError, ValueError) as error:
                raise BadExpression(str(error), start) from None
        return left

    def _term(self) -> int:
        kind, token, start = self.kind, self.token, self.start
        self._advance()
        if kind == "number":
            if len(token) > LARGEST:
                raise BadExpression(f"a number of {len(token)} digits is too large", start)
            return int(token, 0) if token.strip("0") else 0
        if kind == "char":
            return ord(ESCAPES.get(token[2], token[2]) if token[1] == "\\" else token[1])
        if kind in ("symbol", "local"):
            found = self.lookup(token)
            if found is None:
                raise Unknown(f"nothing is called {token!r}", start)
            return found
        if kind == "function":
            return self._apply(token, start)
        if token == "-":
            return -self._term()
        if token == "+":
            return self._term()
        if token == "~":
            return ~self._term()
        if token == "(":
            return self._closed()
        raise BadExpression(f"a number or a symbol is missing{f' before {token!r}' if token else ''}", start)

    def _closed(self) -> int:
        value = self._level(0)
        if self.token != ")":
            raise BadExpression("')' is missing", self.start)
        self._advance()
        return value

    def _apply(self, name: str, start: int) -> int:
        function = self.functions.get(name)
        if function is None:
            raise BadExpression(f"no function {name}; there are {' '.join(self.functions)}", start)
        if self.token != "(":
            raise BadExpression(f"'(' is missing after {name}", self.start)
        self._advance()
        return function(self._closed())
