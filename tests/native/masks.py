"""A reader of optimised LLVM IR that demands a mask of every access of masked code; it shares no code with its writer.

A pointer is read as a sum: atoms with factors, and a constant. An access may be at one of

    CONTEXT + constant                 in the record or behind it, up to the end of private memory
    the unit's own variables, SPACE, the TLB and its entries by a masked index
    read-only bytes + constant
    mask + constant                    where the constant and the access fit into the page at null
    the entry table + 4 * mask         a mask of the number itself, below the text's size
    read-only bytes + mask + constant  a jump's table: in bounds whatever the number

A mask is the assembly that gives what is an offset behind a base if the offset is less than a limit, else zero. So
whatever the offset is, a mask lies within the limit behind its base, and that has to be where the guest may go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from denali.isa.context import CONTEXT, HOME_SLACK, SPACE, TLB
from denali.isa.image import Image

NOWHERE = "nowhere"  # the pointer 1, by which paged code says that a group has no place
NULL = 1 << 16  # bytes at null, where hosts map nothing
FLAGS = r"(?:e|r),r,~\{flags\}"
GIVEN = r"(?:(?:nonnull|noundef|inttoptr|dereferenceable\(\d+\)|align \d+) )*"
PLACED = re.compile(
    r'call ptr asm "leaq (\d+)\(\$2,\$1\), \$0\\0Acmpq \$3, \$1\\0Acmovaeq \$4, \$0", "=&r,r,r,' + FLAGS + r'"'
    rf"\(i64 (\S+), ptr {GIVEN}(\S+), i64 (\S+), i64 0\)"
)
KEPT = re.compile(
    r'call i64 asm "cmpq \$2, \$0\\0Acmovaeq \$3, \$0", "=r,0,' + FLAGS + r'"\(i64 (\S+), i64 (\S+), i64 0\)'
)
ASSIGNED = re.compile(r"  (%[\w.-]+) = (?:tail |musttail )?(.*)")
LOAD = re.compile(r"load (?:volatile )?([\w<> ]+), ptr (.+?)(?:, align| *,|$)")
STORE = re.compile(r"  store ([\w<> ]+?) [^ ,]+, ptr (.+?)(?:, align|,|$)")
GEP = re.compile(r"getelementptr (?:(?:inbounds|nuw|nusw) )*(\w+), ptr (.+?), i64 (\S+)$")
LINEAR = re.compile(r"(add|sub|shl|mul|or disjoint) (?:(?:nuw|nsw) )*i64 (\S+), (\S+)$")
SAME = re.compile(
    r"(?:freeze \w+ (\S+)|(?:inttoptr|ptrtoint) \w+ (\S+) to \w+"
    r'|call \w+ asm (?:sideeffect )?"", "=\w,0"\(\w+ (\S+)\).*)$'
)
CHOOSES = re.compile(r"phi ptr |select i1 [^,]+, ptr ")
MERGES = re.compile(r"phi (?:ptr|i64) ")
CHOICE = re.compile(r"\[ (\S+), %\S+ \]")
SELECT = re.compile(r"select i1 [^,]+, \w+ (\S+), \w+ (\S+)$")
AND = re.compile(r"and i64 (\S+), (\S+)$")
XOR = re.compile(r"xor i64 (\S+), (\S+)$")
OR = re.compile(r"or (?:disjoint )?i64 (\S+), (\S+)$")
SATURATED = re.compile(r"call i64 @llvm\.usub\.sat\.i64\(i64 (\S+), i64 (\d+)\)")
INDIRECT = re.compile(r"  indirectbr|blockaddress")
SIZES = {"i8": 1, "i16": 2, "i32": 4, "i64": 8, "ptr": 8, "double": 8, "float": 4}


@dataclass(frozen=True, slots=True)
class Sum:
    """Atoms with their factors, and a constant."""

    terms: frozenset[tuple[str, int]]
    constant: int

    def plus(self, other: Sum, factor: int = 1) -> Sum:
        """This sum and a multiple of another."""
        terms = dict(self.terms)
        for atom, count in other.terms:
            terms[atom] = terms.get(atom, 0) + factor * count
        whole = _signed(self.constant + factor * other.constant)
        return Sum(frozenset((atom, count) for atom, count in terms.items() if count), whole)


def _signed(number: int) -> int:
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+", text) is not None


def _one(atom: str) -> Sum:
    return Sum(frozenset({(atom, 1)}), 0)


def _field(record: object, name: str) -> int:
    return record.fields[name][1]  # type: ignore[attr-defined]


SPACE_AT = f"load(%ctx+{_field(CONTEXT, 'space')})"
TLB_AT = f"load(%ctx+{_field(CONTEXT, 'tlb')})"
READ_ONLY, TABLE, PAGED_TABLE = (f"load({SPACE_AT}+{_field(SPACE, n)})" for n in ("read_only", "table", "paged_table"))
ROOM, HOME = (f"load(%ctx+{_field(CONTEXT, name)})" for name in ("home_room", "home_start"))
TLB_MASK = f"load({TLB_AT}+{_field(TLB, 'mask')})"


@dataclass(slots=True)
class Function:
    """One function's values by name, and its accesses."""

    image: Image
    private_size: int
    name: str
    lines: list[str]
    values: dict[str, str] = field(default_factory=dict[str, str])
    known: dict[tuple[str, bool], list[Sum]] = field(default_factory=dict[tuple[str, bool], list[Sum]])

    def __post_init__(self) -> None:
        for line in self.lines:
            found = ASSIGNED.match(line)
            if found:
                self.values[found[1]] = re.sub(r"( #\d+|, ![\w.]+ !\d+)+$", "", found[2])

    def refusals(self) -> Iterator[str]:
        """The accesses that could be anywhere."""
        for line in self.lines:
            if INDIRECT.search(line):
                yield f"{self.name}: {line.strip()}"
            found = STORE.match(line)
            loaded = LOAD.search(line) if " = load " in line else None
            if found or loaded:
                kind, pointer = (found or loaded).groups()  # type: ignore[union-attr]
                size = self.size_of(kind)
                for place in self.sums(pointer):
                    if not self.allows(place, size, store=bool(found)):
                        yield f"{self.name}: {line.strip()}: {sorted(place.terms)} + {place.constant}"
            elif re.search(r"= (?:atomicrmw|cmpxchg) |@llvm\.(?:mem|masked\.)", line):
                yield f"{self.name}: {line.strip()}"

    def size_of(self, kind: str) -> int:
        """Bytes of a type."""
        vector = re.match(r"<(\d+) x (\w+)>", kind)
        return int(vector[1]) * SIZES[vector[2]] if vector else SIZES[kind.strip()]

    def allows(self, place: Sum, size: int, *, store: bool) -> bool:
        """Whether an access of `size` bytes may be there."""
        terms, constant = dict(place.terms), place.constant
        end = constant + size
        match sorted(terms):
            case []:
                return constant >= 0 and end <= NULL
            case [one] if terms[one] == 1 and constant >= 0:
                if one == "%ctx":
                    return end <= CONTEXT.itemsize + self.private_size
                if one == READ_ONLY:
                    return not store and end <= len(self.image.read_only)
                if one == SPACE_AT:
                    return not store and end <= SPACE.itemsize
                if one == TLB_AT:
                    return not store and end <= TLB.itemsize + 32  # there is a first entry
                return self.is_own(one) or self.is_right(one, constant, size, store=store)
            case [one, other] if not store:
                return self.is_indexed(terms, one, other, constant, size)
            case _:
                return False

    def is_own(self, atom: str) -> bool:
        """Whether it is a variable of the function, or a constant of the module."""
        return atom.startswith("@") or self.values.get(atom, "").startswith("alloca ")

    def is_indexed(self, terms: dict[str, int], one: str, other: str, constant: int, size: int) -> bool:
        """Whether it is a load from a table, by a bounded index."""
        table, index = (one, other) if one in (READ_ONLY, TABLE, PAGED_TABLE, TLB_AT) else (other, one)
        if terms[table] != 1:
            return False
        if table == TLB_AT:
            return index.startswith("entry(") and terms[index] == 1 and 0 <= constant <= TLB.itemsize + 32 - size
        limit = self.bound(index)
        if limit is None:
            return False
        if table == READ_ONLY:
            return terms[index] == 1 and constant >= 0 and constant + limit - 1 + size <= len(self.image.read_only)
        slots = (self.image.text_end - self.image.text_start + 1) // 2
        return terms[index] == 4 and constant == 0 and limit <= 2 * slots

    def bound(self, atom: str) -> int | None:
        """What a number is below, as it is a mask of itself with a constant limit."""
        text = self.values.get(atom, "")
        cut = AND.match(text)
        if cut and cut[1] in self.values and _is_number(cut[2]) and int(cut[2]) < 0:
            most = self.bound(cut[1])
            return most and (most - 1 & int(cut[2])) + 1
        mask = KEPT.match(text)
        return int(mask[2]) if mask and _is_number(mask[2]) else None

    def is_right(self, atom: str, distance: int, size: int, *, store: bool) -> bool:
        """Whether what a mask gives is the guest's, up to an access at a distance."""
        mask = PLACED.match(self.values.get(atom, ""))
        if mask is None or distance < 0 or distance + size > NULL:
            return False
        behind, offset, base, limit = mask.groups()
        bases, limits = self.sums(base), self.sums(limit)
        pair = self.paired(base, limit)
        if pair is not None:
            bases, limits = pair
        span, found = distance + size, False
        for begin, most in zip(bases, limits * len(bases), strict=False):
            begin = begin.plus(Sum(frozenset(), int(behind)))
            found = self.is_region(begin, most, span, store=store) or self.is_found(offset, begin, limit)
            if not found:
                return False
        return found

    def is_region(self, begin: Sum, most: Sum, span: int, *, store: bool) -> bool:
        """Whether all below a limit behind a place, and a span more, is the guest's."""
        end = begin.constant + most.constant - 1 + span
        if begin.terms == frozenset({("%ctx", 1)}) and not most.terms:
            inside = CONTEXT.itemsize <= begin.constant and end <= CONTEXT.itemsize + self.private_size
            return not most.constant or inside
        if begin.terms == frozenset({(READ_ONLY, 1)}) and not most.terms and not store:
            return not most.constant or (begin.constant >= 0 and end <= len(self.image.read_only))
        if begin.terms == frozenset({("%ctx", 1), (HOME, 1)}):
            own = begin.constant == CONTEXT.itemsize - self.image.private_start
            return own and self.is_room(most, span)
        entries = sorted(begin.terms)
        tags = [atom for atom, count in entries if count == 1 and atom.startswith("load(entry")]
        return len(tags) == len(entries) == 2 and tags[0] != tags[1] and end <= 4096

    def is_room(self, room: Sum, span: int) -> bool:
        """Whether a limit is home's room, less what a long group needs."""
        atom, taken = next(iter(room.terms), ("", 0))[0], 0
        less = SATURATED.match(self.values.get(atom, ""))
        if less:
            room, taken = self.sum_of(less[1]).plus(Sum(frozenset(), room.constant)), int(less[2])
        return room.terms == frozenset({(ROOM, 1)}) and span <= HOME_SLACK + 1 + taken - room.constant

    def is_found(self, offset: str, begin: Sum, limit: str) -> bool:
        """Whether the base is by what `denali_find` said, and the limit that it did not say nowhere."""
        differ = XOR.match(self.values.get(limit, ""))
        said = self.sum_of(differ[1]) if differ and differ[2] == "1" else None
        if offset != "0" or said is None or len(said.terms) != 1:
            return False
        atom = next(iter(said.terms))[0]
        return (atom, 1) in begin.terms and "@denali_find(" in self.values.get(atom, "")

    def paired(self, base: str, limit: str) -> tuple[list[Sum], list[Sum]] | None:
        """The bases and limits of two regions, if one and the same number chooses between them bit by bit."""
        either = [self.chosen(one) for one in (base, limit)]
        (bases, by), (limits, by_too) = either
        if by is None or by != by_too:
            return None
        return bases, limits

    def chosen(self, text: str) -> tuple[list[Sum], str | None]:
        """`b ^ ((a ^ b) & here)`: a and b, and what is known of as `here`."""
        found = SAME.match(self.values.get(text, ""))
        if found:
            return self.chosen(next(part for part in found.groups() if part))
        outer = XOR.match(self.values.get(text, ""))
        for inner, other in (outer.groups(), outer.groups()[::-1]) if outer else ():
            both = AND.match(self.values.get(inner, ""))
            for differ, here in (both.groups(), both.groups()[::-1]) if both else ():
                opaque = SAME.match(self.values.get(here, ""))
                if not opaque:
                    continue
                if _is_number(differ) and _is_number(other):
                    numbers = [int(differ) ^ int(other), int(other)]
                    return [Sum(frozenset(), number) for number in numbers], here
                parts = XOR.match(self.values.get(differ, ""))
                if parts and other in parts.groups():
                    one = parts[1] if parts[2] == other else parts[2]
                    return [*self.sums(one), *self.sums(other)], here
        return [], None

    def sum_of(self, text: str, within: frozenset[str] = frozenset()) -> Sum:
        """A value as a sum that does not look into choices."""
        found = self.sums(text, choose=False, within=within)
        return found[0]

    def sums(self, text: str, *, choose: bool = True, within: frozenset[str] = frozenset()) -> list[Sum]:
        """A value as sums, one for each choice of a pointer that may have been made."""
        key = text, choose
        if key not in self.known or text in within:
            found = list(dict.fromkeys(self._sums(text, choose, within)))
            if text in within:
                return found
            self.known[key] = found
        return self.known[key]

    def _sums(self, text: str, choose: bool, within: frozenset[str]) -> list[Sum]:
        if _is_number(text):
            return [Sum(frozenset(), _signed(int(text)))]
        if text in ("null", NOWHERE):
            return [Sum(frozenset(), int(text == NOWHERE))]
        if text not in self.values or text in within:
            return [_one(text)]
        body, within = self.values[text], within | {text}

        def inner(part: str) -> list[Sum]:
            return self.sums(part, choose=choose, within=within)

        if found := GEP.match(body):
            factor = SIZES[found[1]]
            return [a.plus(b, factor) for a in inner(found[2]) for b in inner(found[3])]
        if found := LINEAR.match(body):
            return self.linear(found[1], inner(found[2]), inner(found[3])) or [_one(text)]
        if found := SAME.match(body):
            return inner(next(part for part in found.groups() if part))
        if (found := SATURATED.match(body)) and not (less := self.sum_of(found[1], within)).terms:
            return [Sum(frozenset(), max(less.constant - int(found[2]), 0))]
        if MERGES.match(body):
            ways = {one for leaf in self.merged(text) for one in inner(leaf)}
            if len(ways) == 1 or (choose and CHOOSES.match(body)):
                return list(ways)
        elif choose and CHOOSES.match(body):
            return [one for part in SELECT.match(body).groups() for one in inner(part)]  # type: ignore[union-attr]
        if found := LOAD.match(body):
            place = self.sum_of(found[2], within)
            atoms = [atom for atom, _ in place.terms]
            entry = next((atom for atom in atoms if atom.startswith("entry(")), None)
            if entry is None and atoms == [TLB_AT] and place.constant >= TLB.itemsize:
                entry = "entry(first)"
            if entry is not None:
                return [_one(f"load({entry}+{place.constant})")]
            if len(place.terms) == 1 and next(iter(place.terms))[1] == 1:
                return [_one(f"load({atoms[0]}+{place.constant})")]
            return [_one(text)]
        found = AND.match(body)
        if found and any((TLB_MASK, 32) in self.sum_of(one, within).terms for one in found.groups()):
            return [_one(f"entry({text})")]
        return [_one(text)]

    def merged(self, text: str) -> list[str]:
        """What comes together in a value, in whatever order on whichever ways."""
        seen, pending, leaves = {text}, [text], list[str]()
        while pending:
            body = self.values.get(one := pending.pop(), "")
            if not MERGES.match(body):
                leaves.append(one)
                continue
            fresh = [part for part in dict.fromkeys(CHOICE.findall(body)) if part not in seen]
            seen |= set(fresh)
            pending += fresh
        return leaves

    def linear(self, operation: str, left: list[Sum], right: list[Sum]) -> list[Sum]:
        """The sums of an operation, where it gives sums."""
        if operation in ("add", "or disjoint", "sub"):
            return [a.plus(b, -1 if operation == "sub" else 1) for a in left for b in right]
        if len(right) == 1 and not right[0].terms:
            factor = right[0].constant if operation == "mul" else 1 << right[0].constant
            return [Sum(frozenset(), 0).plus(a, factor) for a in left]
        return []


def functions(text: str, image: Image, private_size: int) -> Iterator[Function]:
    """The functions of a module."""
    name, lines = "", list[str]()
    for line in text.splitlines():
        if line.startswith("define "):
            name, lines = re.findall(r"@([\w.]+)\(", line)[0], []
        elif line == "}":
            yield Function(image, private_size, name, lines)
        else:
            lines.append(line.split("  ; ")[0].rstrip().replace("inttoptr (i64 1 to ptr)", NOWHERE))
