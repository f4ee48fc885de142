"""An assembler for tests, examples and hand-written guests.

    program = assemble('''
            .data
    text:   .asciz "hello"
            .text
    _start: la a0, text
            li a1, 5
            v.console a0, a0, a1
            v.exit zero, zero, zero
    ''')
    kernel.spawn(program.image())

It knows every instruction of the machine, the usual pseudo-instructions (li, la, loads and stores of a symbol, and the
table in pseudo.py), the directives in `DIRECTIVES` and the functions %hi %lo %pcrel_hi %pcrel_lo. Nothing is compressed
or relaxed behind the author's back: what is written is what stands in memory, `call` is one jal, `la` auipc and addi.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field

from ..definitions.instruction import Instruction
from ..definitions.operands import Kind
from ..image import PAGE, TEXT_BASE, Image, Segment, Symbol
from . import expressions, names
from .directives import DIRECTIVES, SECTIONS
from .elf import write_elf
from .encoding import Unencodable, encode
from .expressions import BadExpression, Reader, high, low
from .forms import BY_MNEMONIC, accessing_symbol, literals_fit, operand_parts, split_order
from .pseudo import PSEUDOS, constant_steps, signed
from .syntax import AssemblyError, Operand, Place, Statement, statements


@dataclass(slots=True)
class Item:
    """Bytes of known size whose content is made when all addresses are known."""

    offset: int
    size: int
    make: Callable[[int], bytes]  # from the item's address


@dataclass(slots=True)
class Section:
    """A part of memory that is being filled."""

    name: str
    items: list[Item] = field(default_factory=list[Item])
    size: int = 0
    start: int = 0

    def content(self) -> bytes:
        """Its bytes; `start` and all symbols must be known."""
        filled = bytearray(self.size)
        for item in self.items:
            made = item.make(self.start + item.offset)
            filled[item.offset : item.offset + item.size] = made
        return bytes(filled)


@dataclass(frozen=True, slots=True)
class Program:
    """What came out: bytes of each section, their addresses, and the symbols."""

    name: str
    entry: int
    segments: tuple[Segment, ...]
    symbols: dict[str, int]
    functions: tuple[Symbol, ...]
    objects: tuple[Symbol, ...]
    labels: tuple[Symbol, ...]

    @property
    def text(self) -> bytes:
        """The machine code, which starts at the first segment's address."""
        return self.segments[0].data

    @property
    def data(self) -> bytes:
        """The initialised data."""
        return next((s.data for s in self.segments if s.writable), b"")

    def elf(self) -> bytes:
        """A standard executable."""
        return write_elf(
            self.segments, entry=self.entry, functions=self.functions, objects=self.objects, labels=self.labels
        )

    def image(self) -> Image:
        """The program as guests run it."""
        return Image.from_elf(self.elf(), self.name)


def assemble(source: str, *, name: str = "assembly", base: int = TEXT_BASE) -> Program:
    """Assemble a source text; text is put at `base`, data on the pages behind it.

    The entry is `_start`, or the first instruction without one.

    Raises:
        AssemblyError: with line and column.
    """
    return Assembler(name, base).assemble(source)


def word_of(one: Instruction, operands: dict[str, int]) -> bytes:
    """The bytes of an instruction."""
    return encode(one, operands).to_bytes(one.length, "little")


class Assembler:
    """Collects statements into sections, lays these out, then makes their bytes."""

    def __init__(self, name: str, base: int) -> None:
        """An assembler of one source text called `name`."""
        self.name, self.base = name, base
        self.sections = {kind: Section(kind) for kind in SECTIONS.values()}
        self.section = self.sections["text"]
        self.labels: dict[str, tuple[Section, int]] = {}
        self.local: dict[str, list[tuple[Section, int]]] = {}
        self.constants: dict[str, int] = {}
        self.exported: set[str] = set()
        self.high_parts: dict[int, int] = {}  # address of an auipc with %pcrel_hi: the distance it is half of

    def assemble(self, source: str) -> Program:
        """The program that `source` describes."""
        for statement in statements(source, self.name):
            self._statement(statement)
        self._place_sections()
        content = {kind: section.content() for kind, section in self.sections.items()}
        return self._program(content)

    def _statement(self, statement: Statement) -> None:
        before = len(self.sections["bss"].items)
        self._perform(statement)
        if len(self.sections["bss"].items) > before:
            raise AssemblyError(".bss has no bytes in the file, only zeros: use .zero, or .data", statement.place)

    def _perform(self, statement: Statement) -> None:
        if statement.is_label:
            self._label(statement.name[:-1], statement.place)
        elif statement.name.startswith("."):
            self._directive(statement)
        else:
            self._instruction(statement)

    def _label(self, name: str, place: Place) -> None:
        here = (self.section, self.section.size)
        if name.isdigit():
            self.local.setdefault(name, []).append(here)
        elif name in self.labels or name in self.constants:
            raise AssemblyError(f"{name!r} is defined already", place)
        else:
            self.labels[name] = here

    def append(self, size: int, make: Callable[[int], bytes]) -> None:
        """Reserve `size` bytes here; `make` fills them later."""
        self.section.items.append(Item(self.section.size, size, make))
        self.section.size += size

    # Instructions

    def _instruction(self, statement: Statement) -> None:
        name, operands = statement.name, statement.operands
        if name == "li":
            self._load_constant(statement)
        elif name in ("la", "lla"):
            self._load_address(statement)
        elif (name, len(operands)) in PSEUDOS:
            pseudo = PSEUDOS[name, len(operands)]
            texts = pseudo.expand([operand.text for operand in operands])
            places = [next((o.place for o in operands if o.text in text), statement.place) for text in texts]
            expanded = tuple(map(Operand, texts, places))
            self._statement(Statement(pseudo.target, expanded, statement.place))
        elif (one := accessing_symbol(name, operands)) is not None:
            self._access_symbol(one, statement)
        else:
            self._real(statement)

    def _real(self, statement: Statement) -> None:
        """An instruction of the machine, or an error that says what is like it."""
        name, order = split_order(statement.name)
        candidates = BY_MNEMONIC.get(name, [])
        if not candidates:
            self._refuse_pseudo(statement)
            known = [*BY_MNEMONIC, *(n for n, _ in PSEUDOS), "li", "la"]
            near = difflib.get_close_matches(name, known, 3)
            advice = f"; like it: {', '.join(near)}" if near else ""
            raise AssemblyError(f"no instruction {statement.name!r}{advice}", statement.place)
        fitting = [one for one in candidates if literals_fit(one, statement.operands)]
        if not fitting:
            forms = " or ".join(f"{name} {one.text}".strip() for one in candidates)
            raise AssemblyError(f"the operands should be: {forms}", statement.place)
        one = fitting[0]
        self.append(one.length, lambda address: self._encode(one, statement, order, address))

    def _encode(self, one: Instruction, statement: Statement, order: int, address: int) -> bytes:
        values = {name: 0 for name in one.operands if name not in one.text}
        values |= {name: order for name, kind in one.operands.items() if kind is Kind.ORDER}
        values |= {name: 7 for name, kind in one.operands.items() if kind is Kind.ROUNDING}
        places: dict[str, Place] = {}
        for form, operand in zip(one.text.split(", "), statement.operands, strict=False):
            for name, part in operand_parts(one, form, operand):
                values[name] = self._operand(one.operands[name], part, address)
                places[name] = part.place
        try:
            return word_of(one, values)
        except Unencodable as error:
            raise AssemblyError(str(error), places.get(error.operand, statement.place)) from None

    def _operand(self, kind: Kind, operand: Operand, address: int) -> int:
        """The value of an operand as `extract` would give it."""
        text = operand.text
        if kind.is_register:
            number = names.register_number(text, kind)
            if number is None:
                raise AssemblyError(f"{text!r} is no {kind.value}", operand.place)
            return number
        if kind is Kind.ROUNDING and text in names.ROUNDING:
            return names.ROUNDING[text]
        if kind is Kind.FENCE and text and set(text) <= set(names.FENCE_BITS):
            return sum(bit for letter, bit in names.FENCE_BITS.items() if letter in text)
        value = self.evaluate(operand, address)
        if kind is Kind.OFFSET:
            return signed(value - address)
        if kind is Kind.UPPER:
            if not -(1 << 19) <= value < 1 << 20:
                raise AssemblyError(f"{value} is not within {-(1 << 19)} to {(1 << 20) - 1}", operand.place)
            return ((value & 0xFFFFF ^ 0x80000) - 0x80000) << 12
        return value

    def _load_constant(self, statement: Statement) -> None:
        register, number = self._two(statement)
        value = self.evaluate(number, None)
        if not -(1 << 63) <= value < 1 << 64:
            raise AssemblyError(f"{value} has more than 64 bits", number.place)
        source = "zero"
        for name, part in constant_steps(value):
            texts = [register.text, str(part)] if name == "lui" else [register.text, source, str(part)]
            operands = tuple(Operand(text, register.place) for text in texts)
            self._real(Statement(name, operands, statement.place))
            source = register.text

    def _load_address(self, statement: Statement) -> None:
        register, target = self._two(statement)
        number = self._operand(Kind.X, register, 0)
        self._at_symbol(BY_MNEMONIC["addi"][0], {"rd": number}, number, target)

    def _access_symbol(self, one: Instruction, statement: Statement) -> None:
        """A load or store at a symbol: its address goes through the register that is loaded, or a third operand."""
        value, target, *between = statement.operands
        name = "rd" if "rd" in one.operands else "rs2"
        number = self._operand(one.operands[name], value, 0)
        self._at_symbol(one, {name: number}, self._operand(Kind.X, (*between, value)[0], 0), target)

    def _at_symbol(self, one: Instruction, operands: dict[str, int], base: int, target: Operand) -> None:
        """auipc into the register `base`, then `one` with the rest of the distance from there."""
        section, start = self.section, self.section.size

        def distance() -> int:
            place = section.start + start
            found = self.evaluate(target, place) - place
            if not -(1 << 31) <= found + 0x800 < 1 << 31:
                raise AssemblyError(f"{target.text} is {found} bytes away; auipc reaches 2 GiB", target.place)
            return found

        auipc = BY_MNEMONIC["auipc"][0]
        self.append(4, lambda _: word_of(auipc, {"rd": base, "imm": ((high(distance()) ^ 0x80000) - 0x80000) << 12}))
        self.append(4, lambda _: word_of(one, operands | {"rs1": base, "imm": low(distance())}))

    def _refuse_pseudo(self, statement: Statement) -> None:
        """An error if the name is a pseudo-instruction's, which takes other operands."""
        forms = [
            " ".join((name, ", ".join(p.parameters))) for (name, _), p in PSEUDOS.items() if name == statement.name
        ]
        if forms:
            raise AssemblyError(f"the operands should be: {' or '.join(forms)}", statement.place)

    def _two(self, statement: Statement) -> tuple[Operand, Operand]:
        if len(statement.operands) != 2:
            raise AssemblyError(f"{statement.name} takes a register and a value", statement.place)
        return statement.operands[0], statement.operands[1]

    # Expressions

    def evaluate(self, operand: Operand, address: int | None) -> int:
        """The value of an operand; `address` is where it is used, None while addresses are not known yet."""

        def lookup(name: str) -> int | None:
            return self._lookup(name, address)

        functions: dict[str, Callable[[int], int]] = {"%hi": high, "%lo": low}
        if address is not None:
            functions["%pcrel_hi"] = lambda target: self._relative_high(address, target)
            functions["%pcrel_lo"] = self._relative_low
        try:
            return Reader(operand.text, lookup, functions).value()
        except expressions.Unknown as error:
            advice = " so far; for the address of a label use la" if address is None else ""
            raise AssemblyError(str(error) + advice, operand.place.moved(error.position)) from None
        except RecursionError:
            raise AssemblyError("this is nested too deeply", operand.place) from None
        except BadExpression as error:
            raise AssemblyError(str(error), operand.place.moved(error.position)) from None

    def _lookup(self, name: str, address: int | None) -> int | None:
        if name in self.constants:
            return self.constants[name]
        if address is None:
            return None
        if name == ".":
            return address
        if name in self.labels:
            section, offset = self.labels[name]
            return section.start + offset
        return self._local_label(name, address) if name[0].isdigit() else None

    def _local_label(self, name: str, address: int) -> int | None:
        """The nearest place called by that number, behind ("1f") or before ("1b") the address."""
        places = sorted(section.start + offset for section, offset in self.local.get(name[:-1], []))
        if name[-1] == "b":
            return max((p for p in places if p <= address), default=None)
        return min((p for p in places if p > address), default=None)

    def _relative_high(self, address: int, target: int) -> int:
        self.high_parts[address] = target - address
        return high(target - address)

    def _relative_low(self, label: int) -> int:
        """The low part that completes the auipc at `label`."""
        if label not in self.high_parts:
            raise BadExpression("%pcrel_lo names no label of an auipc with %pcrel_hi before it", 0)
        return low(self.high_parts[label])

    # Directives

    def _directive(self, statement: Statement) -> None:
        if statement.name in SECTIONS:
            self.section = self.sections[SECTIONS[statement.name]]
            return
        handle = DIRECTIVES.get(statement.name)
        if handle is None:
            known = [*SECTIONS, *DIRECTIVES]
            near = difflib.get_close_matches(statement.name, known, 1)
            raise AssemblyError(
                f"no directive {statement.name!r}; there are {' '.join(near or known)}", statement.place
            )
        handle(self, statement)

    def known(self, operand: Operand) -> int:
        """The value of an operand that must not depend on addresses."""
        return self.evaluate(operand, None)

    # Layout

    def _place_sections(self) -> None:
        text, rodata, data, bss = (self.sections[kind] for kind in SECTIONS.values())
        text.start = self.base
        rodata.start = -(-(text.start + text.size) // PAGE) * PAGE
        data.start = -(-(rodata.start + rodata.size) // PAGE) * PAGE
        bss.start = -(-(data.start + data.size) // 16) * 16

    def _program(self, content: dict[str, bytes]) -> Program:
        text, rodata, data, bss = (self.sections[kind] for kind in SECTIONS.values())
        segments = [Segment(text.start, text.size, content["text"], False, True)]
        if rodata.size:
            segments.append(Segment(rodata.start, rodata.size, content["rodata"], False, False))
        if data.size or bss.size:
            end = bss.start + bss.size if bss.size else data.start + data.size
            segments.append(Segment(data.start, end - data.start, content["data"], True, False))
        places = {name: section.start + offset for name, (section, offset) in self.labels.items()}
        functions, objects, labels = self._symbols()
        entry = places.get("_start", text.start)
        return Program(self.name, entry, tuple(segments), places | self.constants, functions, objects, labels)

    def _symbols(self) -> tuple[tuple[Symbol, ...], tuple[Symbol, ...], tuple[Symbol, ...]]:
        """Functions (exported labels in text, and _start), objects (labels in data), other labels; no .L names."""
        visible = {n: place for n, place in self.labels.items() if not n.startswith(".L")}
        code = self.sections["text"]
        functions = {n: p for n, p in visible.items() if p[0] is code and (n in self.exported or n == "_start")}
        objects = {n: p for n, p in visible.items() if p[0] is not code}
        labels = {n: p for n, p in visible.items() if n not in functions and n not in objects}
        return self._extents(functions), self._extents(objects), self._extents(labels)

    def _extents(self, group: dict[str, tuple[Section, int]]) -> tuple[Symbol, ...]:
        """Each from its label to the next one of the group in that section."""
        symbols: list[Symbol] = []
        for name, (section, offset) in group.items():
            after = [o for s, o in group.values() if s is section and o > offset]
            symbols.append(Symbol(name, section.start + offset, min(after, default=section.size) - offset))
        return tuple(sorted(symbols, key=lambda s: (s.start, s.name)))
