# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""The functions of libos/machine.py in a guest: each is a virtual instruction, or an access to the registers page.

LLVM has no name for our instructions, so each is a call of an external function that the linker makes of the encoded
instruction and a return. The registers page is where the thread pointer points.
"""

from __future__ import annotations

import inspect

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import intrinsic

from denali.isa.virtual import REGISTERS, STREAM_OPEN, Service
from denali.libos import machine
from denali.libos.compiler.convention import fail
from denali.libos.compiler.depth import HANDLER
from denali.libos.compiler.target import replacements

WORD = ir.IntType(64)
HALF = ir.IntType(32)
BYTES = ir.IntType(8).as_pointer()


class Site:
    """The place where a machine function is called: its arguments as LLVM values."""

    def __init__(self, context, builder, signature, args) -> None:
        self.context, self.builder = context, builder
        self.kinds, self.values = signature.args, args

    def word(self, index: int):
        """An integer argument, as 64 bits."""
        return self.context.cast(self.builder, self.values[index], self.kinds[index], types.int64)

    def _array(self, index: int):
        return self.context.make_array(self.kinds[index])(self.context, self.builder, self.values[index])

    def start(self, index: int):
        """The address of a buffer argument."""
        return self.builder.ptrtoint(self._array(index).data, WORD)

    def size(self, index: int):
        """The size of a buffer argument in bytes."""
        array = self._array(index)
        size = self.context.get_constant(types.intp, 1)
        for extent in cgutils.unpack_tuple(self.builder, array.shape):
            size = self.builder.mul(size, extent)
        item = self.context.get_abi_sizeof(self.context.get_data_type(self.kinds[index].dtype))
        return self.builder.mul(size, WORD(item))

    def length(self, index: int, of: int):
        """An integer argument that must not exceed the size of the buffer argument `of`."""
        length = self.word(index)
        self.require(self.builder.icmp_unsigned("<=", length, self.size(of)), "length outside the buffer")
        return length

    def require(self, condition, text: str, kind: str = "IndexError") -> None:
        """Stop the guest with an error that names this place, unless the condition holds."""
        with self.builder.if_then(self.builder.not_(condition), likely=False):
            fail(self.builder, f"{kind}: {text} ({self.context.call_conv.place})")

    def call(self, service: Service, first=None, second=None):
        """The virtual instruction itself."""
        arguments = [value for value in (first, second) if value is not None]
        signature = ir.FunctionType(WORD, [WORD] * len(arguments))
        function = cgutils.get_or_insert_function(self.builder.module, signature, f"denali.service.{int(service)}")
        function.attributes.add("nounwind")
        if service in (Service.EXIT, Service.FAIL):
            function.attributes.add("noreturn")
        return self.builder.call(function, arguments)

    def register(self, name: str):
        """The address of a field of the registers page."""
        pointer = cgutils.get_or_insert_function(
            self.builder.module, ir.FunctionType(BYTES, []), "llvm.thread.pointer.p0"
        )
        assert REGISTERS.fields is not None
        kind, offset, *_ = REGISTERS.fields[name]
        width = ir.IntType(kind.base.itemsize * 8)
        address = self.builder.gep(self.builder.call(pointer, []), [WORD(offset)])
        return self.builder.bitcast(address, width.as_pointer())

    def load(self, name: str):
        """A field of the registers page that never changes, as 64 bits."""
        value = self.builder.load(self.register(name))
        return value if value.type == WORD else self.builder.zext(value, WORD)


def _pair(site, handle, length):
    """Two numbers in one word: the first in its upper half."""
    return site.builder.or_(site.builder.shl(handle, WORD(32)), length)


def is_buffer(kind, *, written: bool) -> bool:
    """Whether a type is a buffer: contiguous, and writable where the machine writes it."""
    if isinstance(kind, types.Bytes):
        return not written
    return isinstance(kind, types.Array) and kind.layout in "CF" and (kind.mutable or not written)


CHECKS = {
    "int": (lambda kind: isinstance(kind, types.Integer | types.Boolean), "an integer"),
    "read": (lambda kind: is_buffer(kind, written=False), "a contiguous array, or bytes"),
    "write": (lambda kind: is_buffer(kind, written=True), "a contiguous writable array"),
}


def guest(function, *kinds: str, result=types.int64):
    """Make the decorated function the lowering of a machine function whose arguments are of these kinds."""

    def register(lower):
        def typed(typing_context, *args):
            for position, (arg, kind) in enumerate(zip(args, kinds, strict=True), 1):
                fits, wanted = CHECKS[kind]
                if arg is None or not fits(arg):
                    given = arg or "nothing"
                    raise TypingError(f"machine.{function.__name__} wants {wanted} as argument {position}, not {given}")

            def generate(context, builder, signature, values):
                value = lower(Site(context, builder, signature, values))
                return context.get_dummy_value() if result is types.none else value

            return result(*args), generate

        names = list(inspect.signature(function).parameters)
        takes, gives = ", ".join(f"{n}=None" for n in names), ", ".join(names)  # None: not given, see `typed`
        space = {"typed": typed}
        exec(f"def {function.__name__}(typing_context, {takes}): return typed(typing_context, {gives})", space)
        replacements[function] = intrinsic(space[function.__name__])
        return lower

    return register


@guest(machine.exit, "int", result=types.none)
def _exit(site):
    site.call(Service.EXIT, site.word(0))


@guest(machine.fail, "read", result=types.none)
def _fail(site):
    site.call(Service.FAIL, site.start(0), site.size(0))


@guest(machine.idle, "int", result=types.none)
def _idle(site):
    site.call(Service.IDLE, site.word(0))


@guest(machine.yield_, result=types.none)
def _yield(site):
    site.call(Service.YIELD)


@guest(machine.mark)
def _mark(site):
    return site.call(Service.MARK)


@guest(machine.send, "read", "int")
def _send(site):
    return site.call(Service.SEND, site.start(0), site.length(1, of=0))


@guest(machine.receive, "write")
def _receive(site):
    return site.call(Service.RECEIVE, site.start(0), site.size(0))


@guest(machine.gather, "read", "int", "read")
def _gather(site):
    head = _pair(site, site.length(1, of=0), site.start(0))
    return site.call(Service.GATHER, head, _pair(site, site.size(2), site.start(2)))


@guest(machine.peek, "write", "int")
def _peek(site):
    return site.call(Service.PEEK, site.start(0), _pair(site, site.word(1), site.size(0)))


@guest(machine.console, "read")
def _console(site):
    return site.call(Service.CONSOLE, site.start(0), site.size(0))


@guest(machine.clock)
def _clock(site):
    return site.call(Service.CLOCK)


@guest(machine.accept, "write")
def _accept(site):
    room = site.builder.icmp_unsigned(">=", site.size(0), WORD(STREAM_OPEN.itemsize))
    site.require(room, "the record is smaller than STREAM_OPEN")
    return site.call(Service.ACCEPT, site.start(0))


@guest(machine.stream_read, "int", "write")
def _stream_read(site):
    return site.call(Service.READ, site.start(1), _pair(site, site.word(0), site.size(1)))


@guest(machine.stream_write, "int", "read", "int")
def _stream_write(site):
    return site.call(Service.WRITE, site.start(1), _pair(site, site.word(0), site.length(2, of=1)))


@guest(machine.stream_close, "int", "int", result=types.none)
def _stream_close(site):
    site.call(Service.CLOSE, site.word(0), site.word(1))


@guest(machine.number)
def _number(site):
    return site.load("number")


@guest(machine.address)
def _address(site):
    return site.load("address")


@guest(machine.memory)
def _memory(site):
    return site.load("memory")


@guest(machine.pending)
def _pending(site):
    return site.builder.zext(site.builder.load_atomic(site.register("pending"), "monotonic", 4), WORD)


@guest(machine.clear, "int", result=types.none)
def _clear(site):
    """One atomic instruction: an event raised meanwhile is not lost."""
    keep = site.builder.not_(site.builder.trunc(site.word(0), HALF))
    site.builder.atomic_rmw("and", site.register("pending"), keep, "monotonic")


@guest(machine.set_mask, "int", result=types.none)
def _set_mask(site):
    site.builder.store(site.builder.trunc(site.word(0), HALF), site.register("mask"))


@guest(machine.bind, "int", "int", "int", result=types.none)
def _bind(site):
    site.call(Service.BIND, site.builder.or_(site.word(0), site.word(1)), site.word(2))


@guest(machine.probe, "int")
def _probe(site):
    return site.call(Service.PROBE, site.word(0))


@guest(machine.drop, "int", "int", result=types.none)
def _drop(site):
    some = site.builder.icmp_signed(">", site.word(1), WORD(0))
    with site.builder.if_then(some):
        site.call(Service.DROP, site.word(0), site.word(1))


@guest(machine.drop_all, result=types.none)
def _drop_all(site):
    site.call(Service.DROP, WORD(0), WORD(0))


@guest(machine.allocate, "write")
def _allocate(site):
    return site.call(Service.ALLOCATE, site.start(0), site.builder.udiv(site.size(0), WORD(8)))


@guest(machine.release, "read")
def _release(site):
    return site.call(Service.RELEASE, site.start(0), site.builder.udiv(site.size(0), WORD(8)))


@guest(machine.share, "int", "int", "int")
def _share(site):
    return site.call(Service.SHARE, site.builder.or_(site.word(0), site.word(1)), site.word(2))


@guest(machine.attach, "int")
def _attach(site):
    return site.call(Service.ATTACH, site.word(0))


@guest(machine.revoked)
def _revoked(site):
    return site.builder.load_atomic(site.register("revoked"), "monotonic", 8)


@guest(machine.revoke_by)
def _revoke_by(site):
    return site.builder.load_atomic(site.register("revoke_by"), "monotonic", 8)


@guest(machine.repossession, "write", result=types.none)
def _repossession(site):
    vector = site.builder.inttoptr(site.start(0), WORD.as_pointer())
    room = site.builder.udiv(site.size(0), WORD(8))
    site.require(site.builder.icmp_unsigned(">=", room, WORD(3)), "the vector has no room for a frame")
    site.builder.store(WORD(0), vector)
    site.builder.store(site.builder.sub(room, WORD(2)), site.builder.gep(vector, [WORD(1)]))
    site.builder.store(site.start(0), site.register("repossession"))


@guest(machine.mmu, "int")
def _mmu(site):
    """All private memory is wired."""
    wired = cgutils.alloca_once(site.builder, ir.ArrayType(WORD, 2))
    for index, name in enumerate(("start", "memory")):
        site.builder.store(site.load(name), site.builder.gep(wired, [WORD(0), WORD(index)]))
    return site.call(Service.MMU, site.word(0), site.builder.ptrtoint(wired, WORD))


@intrinsic
def machine_words(typing_context, address, count):
    """`machine.words`: memory at an address as an array."""

    def generate(context, builder, signature, values):
        site = Site(context, builder, signature, values)
        array = context.make_array(signature.return_type)(context, builder)
        context.populate_array(
            array,
            data=builder.inttoptr(site.word(0), array.data.type),
            shape=(site.word(1),),
            strides=(WORD(8),),
            itemsize=WORD(8),
            meminfo=None,
        )
        return array._getvalue()

    return types.Array(types.int64, 1, "C")(address, count), generate


replacements[machine.words] = machine_words


def upcall(context, module, result):
    """A function that the kernel may enter anywhere: it keeps all registers, and calls the handler with its cause."""
    name = HANDLER + result.fndesc.mangled_name
    if name in module.globals:
        return module.globals[name]
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), []), name)
    set.add(function.attributes, '"interrupt"="machine"')  # llvmlite lists no such attribute; LLVM saves and restores
    builder = ir.IRBuilder(function.append_basic_block())
    site = Site(context, builder, result.signature, ())
    arguments = [builder.load_atomic(site.register(field), "monotonic", 8) for field in ("cause", "value")]
    context.call_internal(builder, result.fndesc, result.signature, arguments)
    builder.ret_void()
    return function


@intrinsic
def machine_handle(typing_context, function):
    """`machine.handle`: compile the handler, and put the address of its way in into the registers page."""
    if not isinstance(function, types.Dispatcher):
        raise TypingError(f"machine.handle wants a function of the service, not {function}")
    result = function.dispatcher.compile((types.int64, types.int64))
    if result.signature.return_type != types.none:
        raise TypingError("a handler returns nothing")

    def generate(context, builder, signature, values):
        site = Site(context, builder, signature, values)
        entry = upcall(context, builder.module, result)
        builder.store(builder.ptrtoint(entry, WORD), site.register("handler"))
        return context.get_dummy_value()

    return types.none(function), generate


replacements[machine.handle] = machine_handle


@intrinsic
def seed(typing_context):
    """The first word of the registers page's `random`."""

    def generate(context, builder, signature, values):
        return Site(context, builder, signature, values).load("random")

    return types.uint64(), generate


@intrinsic(prefer_literal=True)
def machine_buffer(typing_context, size):
    """`machine.buffer`: zeroed bytes in the frame of the function that asks."""
    if not isinstance(size, types.IntegerLiteral) or size.literal_value < 0:
        raise TypingError("machine.buffer wants a constant size: a number, or a module-level name for one")
    count = size.literal_value

    def generate(context, builder, signature, values):
        space = cgutils.alloca_once(builder, ir.ArrayType(ir.IntType(8), max(count, 1)))
        space.align = 8
        cgutils.memset(builder, builder.bitcast(space, BYTES), WORD(count), 0)
        array = context.make_array(signature.return_type)(context, builder)
        context.populate_array(
            array,
            data=builder.bitcast(space, array.data.type),
            shape=(WORD(count),),
            strides=(WORD(1),),
            itemsize=WORD(1),
            meminfo=None,
        )
        return array._getvalue()

    return types.Array(types.uint8, 1, "C")(size), generate


replacements[machine.buffer] = machine_buffer


@intrinsic
def address_of(typing_context, array):
    """Where an array's first item is."""

    def generate(context, builder, signature, values):
        return Site(context, builder, signature, values).start(0)

    return types.int64(array), generate


@intrinsic
def _from_bytes(typing_context, data, kind):
    """`np.frombuffer(literal, np.uint8)`: the bytes of a literal as a read-only array."""
    if not isinstance(data, types.Bytes) or getattr(kind, "dtype", None) != types.uint8:
        raise TypingError("np.frombuffer takes a bytes literal and np.uint8; write `.view(...)` for other types")

    def generate(context, builder, signature, values):
        return values[0]  # bytes and arrays have one structure

    return types.Array(types.uint8, 1, "C", readonly=True)(data, kind), generate


replacements[np.frombuffer] = _from_bytes
