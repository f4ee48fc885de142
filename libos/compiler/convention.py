# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""How compiled functions call each other, and what becomes of an exception.

The convention is C's: scalars in registers, the result returned. There is no status to test after a call, because no
exception travels: whatever raises stops the guest on the spot through the FAIL service, with a message that names the
class, the file and the line. Two kinds of result need a second word all the same: an optional one ("there is none")
and a generator's next ("that was the last").
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.callconv import BaseCallConv, Status

OK, NONE, STOP = range(3)
CODE = ir.IntType(8)
WORD = ir.IntType(64)
POINTER = ir.IntType(8).as_pointer()


def carries_code(restype, argtypes) -> bool:
    """Whether the result is a pair of value and code: only for optionals and for whatever takes a generator."""
    return isinstance(restype, types.Optional) or any(isinstance(a, types.Generator) for a in argtypes)


def fail(builder, text: str) -> None:
    """End the block by stopping the guest with a message (a constant, at most one line)."""
    data = cgutils.make_bytearray(text.encode())
    name = f".message.{text}"
    message = builder.module.globals.get(name) or cgutils.global_constant(builder.module, name, data)
    message.linkage, message.unnamed_addr = "private", True
    signature = ir.FunctionType(ir.VoidType(), [POINTER, WORD])
    function = cgutils.get_or_insert_function(builder.module, signature, "denali.fail")
    function.attributes.add("noreturn")
    function.attributes.add("cold")
    builder.call(function, [builder.bitcast(message, POINTER), WORD(len(text.encode()))])
    builder.unreachable()


class Place:
    """Where the lowering is: the file, line and function that a message should name."""

    def __init__(self) -> None:
        self.file, self.line, self.function = "?", 0, "?"

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}, in {self.function}"


class Convention(BaseCallConv):
    """C's convention; raising is `fail`."""

    def __init__(self, context) -> None:
        super().__init__(context)
        self.place = Place()

    def _make_call_helper(self, builder):
        return self

    def return_value(self, builder, retval):
        """Return a value (with code OK where the type carries one)."""
        self._return(builder, retval, OK)

    def return_native_none(self, builder):
        """Return "there is none"."""
        self._return(builder, None, NONE)

    def return_stop_iteration(self, builder):
        """Return "that was the last"."""
        self._return(builder, None, STOP)

    def _return(self, builder, value, code):
        restype = builder.function.function_type.return_type
        if not (isinstance(restype, ir.LiteralStructType) and getattr(restype, "carries_code", False)):
            builder.ret(value)
            return
        pair = ir.Constant(restype, ir.Undefined)
        if value is not None:
            pair = builder.insert_value(pair, value, 0)
        builder.ret(builder.insert_value(pair, CODE(code), 1))

    def return_user_exc(self, builder, exc, exc_args=None, loc=None, func_name=None):
        """Stop the guest: class, arguments that are constants, place."""
        name = "exception" if exc is None else exc.__name__
        words = [str(a) for a in exc_args or () if isinstance(a, str | int | float | bool)]
        text = name + (f": {', '.join(words)}" if words else "")
        fail(builder, f"{text} ({self.place})")

    def return_dynamic_user_exc(self, builder, exc, exc_args, nb_types, loc=None, func_name=None):
        """As `return_user_exc`; arguments known only at run time are left out."""
        self.return_user_exc(builder, exc, exc_args, loc, func_name)

    def return_status_propagate(self, builder, status):
        """A call that failed never came back."""
        builder.unreachable()

    def get_function_type(self, restype, argtypes):
        """The LLVM function type for a result and arguments."""
        result = self.get_return_type(restype).pointee
        if carries_code(restype, argtypes):
            result = ir.LiteralStructType([result, CODE])
            result.carries_code = True
        return ir.FunctionType(result, list(self._get_arg_packer(argtypes).argument_types))

    def decorate_function(self, fn, args, fe_argtypes, noalias=False):
        """Name the arguments, and say how narrow integers are extended (the C ABI wants it)."""
        packer = self._get_arg_packer(fe_argtypes)
        packer.assign_names(self.get_arguments(fn), ["arg." + a for a in args])
        fn.attributes.add("nounwind")
        if len(fn.args) == len(fe_argtypes):
            for value, kind in zip(fn.args, fe_argtypes, strict=True):
                extend(value, kind)

    def get_arguments(self, func):
        """The LLVM arguments; none is hidden."""
        return func.args

    def call_function(self, builder, callee, resty, argtys, args, attrs=None):
        """Call, and give the status (constant for most) and the value."""
        packer = self._get_arg_packer(argtys)
        result = builder.call(callee, list(packer.as_arguments(builder, args)))
        code = CODE(OK)
        if carries_code(resty, argtys):
            result, code = builder.extract_value(result, 0), builder.extract_value(result, 1)
        return self._status(builder, code), self.context.get_returned_value(builder, resty, result)

    def _status(self, builder, code):
        false = cgutils.false_bit
        return Status(
            code=code,
            is_ok=cgutils.true_bit,
            is_none=builder.icmp_unsigned("==", code, CODE(NONE)),
            is_error=false,
            is_stop_iteration=builder.icmp_unsigned("==", code, CODE(STOP)),
            is_python_exc=false,
            is_user_exc=false,
            excinfoptr=None,
        )


def extend(value, kind) -> None:
    """Mark an integer argument narrower than a register as extended by its caller."""
    if isinstance(value.type, ir.IntType) and value.type.width < 64:
        signed = isinstance(kind, types.Integer) and kind.signed
        value.add_attribute("signext" if signed or value.type.width == 32 else "zeroext")
