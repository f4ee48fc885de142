"""Units run without the native engine: the reference interpreter is the fallback, so it is the only other suspect."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import llvmlite.binding as llvm
import numpy as np

from denali.isa import loader
from denali.isa.context import CONTEXT, SPACE, Status
from denali.isa.image import Image
from denali.isa.reference import Machine
from denali.isa.registers import CARRIED, RESULT, offset_of
from denali.isa.translate import translate

SERVICE = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64, ctypes.c_uint64)
STACK_SHORT, FUEL_SHORT = 3, 5


@cache
def target() -> llvm.TargetMachine:
    """The host, as the workers compile for it."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple("x86_64-unknown-linux-gnu").create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=2,
        reloc="pic",
        codemodel="small",
    )


def compiled(text: str, speed: int = 1) -> bytes:
    """Optimised object code of a module's text."""
    host = target()
    with llvm.parse_assembly(text) as module:
        module.verify()
        builder = llvm.create_pass_builder(host, llvm.create_pipeline_tuning_options(speed_level=speed))
        builder.getModulePassManager().run(module, builder)
        return host.emit_object(module)


def driver_text() -> str:
    """`drive(ctx, unit)`: fill the slots, call, put them back; and the unit behind empty entries."""
    lines = ["define i64 @drive(ptr %ctx, ptr %unit) {"]
    for number in (1, *CARRIED):
        lines.append(f"  %p{number} = getelementptr i8, ptr %ctx, i64 {offset_of(number)}")
        lines.append(f"  %v{number} = load i64, ptr %p{number}")
    arguments = "i64 %v1, ptr %ctx, " + ", ".join(f"i64 %v{number}" for number in CARRIED)
    lines.append(f"  %r = call x86_regcallcc {RESULT} %unit({arguments})")
    lines.append(f"  %t = extractvalue {RESULT} %r, 0\n  %odd = trunc i64 %t to i1")
    lines.append("  br i1 %odd, label %out, label %back\nback:\n  store i64 %t, ptr %p1\n  store i64 %t, ptr %ctx")
    lines.append(f"  %f = extractvalue {RESULT} %r, 1\n  %pf = getelementptr i8, ptr %ctx, i64 8\n  store i64 %f, ptr %pf")
    for place, number in enumerate(CARRIED):
        lines.append(f"  %o{number} = extractvalue {RESULT} %r, {place + 2}\n  store i64 %o{number}, ptr %p{number}")
    lines.append("  br label %out\nout:\n  ret i64 %t\n}")
    parameters = "i64 %v1, ptr %ctx, " + ", ".join(f"i64 %v{number}" for number in CARRIED)
    lines.append(f"define x86_regcallcc {RESULT} @miss({parameters}) {{")
    for number in (1, *CARRIED):
        lines.append(f"  %p{number} = getelementptr i8, ptr %ctx, i64 {offset_of(number)}")
        lines.append(f"  store i64 %v{number}, ptr %p{number}")
    lines.append(f"  %r = insertvalue {RESULT} poison, i64 1, 0\n  ret {RESULT} %r\n}}")
    return "\n".join(lines) + "\n"


@cache
def driver() -> loader.Code:
    """The driver, loaded."""
    return loader.load(compiled(driver_text()))


class Translated:
    """A guest whose known code runs in units and whose other code runs in the reference interpreter."""

    def __init__(
        self,
        image: Image,
        private_size: int,
        service: Callable[[Machine, int, int, int], int] | None = None,
        *,
        entries: list[int] | None = None,
        speed: int = 1,
        native_stack: int = 256 << 10,
    ) -> None:
        self.buffer = np.zeros(CONTEXT.itemsize + private_size + 64, np.uint8)
        self.address = self.buffer.ctypes.data
        self.context = self.buffer[: CONTEXT.itemsize].view(CONTEXT)
        self.machine = Machine(image, private_size, service) if service else Machine(image, private_size)
        memory = self.buffer[CONTEXT.itemsize : CONTEXT.itemsize + private_size]
        memory[: len(image.data)] = np.frombuffer(image.data, np.uint8)
        self.machine.memory.private = memoryview(memory)  # type: ignore[assignment]
        self.image, self.native_stack = image, native_stack
        self.callback = SERVICE(self._serve)
        text, self.entries = translate(image, private_size, entries)
        externals = {"denali_service": ctypes.cast(self.callback, ctypes.c_void_p).value or 0}
        self.code = loader.load(compiled(text, speed), externals)
        self._make_space(private_size)
        self.entered = self.interpreted = 0

    def _make_space(self, private_size: int) -> None:
        image = self.image
        self.read_only = np.frombuffer(bytearray(image.read_only), np.uint8)
        self.table = np.full((image.text_end - image.text_start) // 2 + 1, driver().symbols["miss"], np.uint64)
        for entry in self.entries:
            self.table[(entry - image.text_start) // 2] = self.code.symbols[f"pc_{entry:x}"]
        self.space = np.zeros(1, SPACE)
        self.space["read_only"], self.space["table"] = self.read_only.ctypes.data, self.table.ctypes.data
        self.context["space"] = self.space.ctypes.data

    def _serve(self, _: int, number: int, a: int, b: int) -> int:
        machine = self.machine
        machine.status = Status.FUEL
        machine.pc, machine.fuel = int(self.context["pc"][0]), int(self.context["fuel"][0])
        result = machine.service(machine, number, a, b)
        self.context["status"], self.context["fuel"] = int(machine.status), machine.fuel
        return ctypes.c_int64(result).value

    def run(self, fuel: int) -> Status:
        """As `Machine.run`."""
        machine = self.machine
        machine.fuel, machine.limit, machine.status = fuel, machine.retired + fuel, Status.FUEL
        drive = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p)(driver().symbols["drive"])
        while machine.fuel > 0 and machine.status is Status.FUEL:
            entry = machine.pc if machine.pc in self.entries else None
            if entry is not None:
                code = self._drive(drive, self.code.symbols[f"pc_{entry:x}"])
                if machine.status is not Status.FUEL or machine.fuel <= 0:
                    break
                if code % 2 == 0 or code == STACK_SHORT:
                    continue
                if code == FUEL_SHORT:
                    while machine.fuel > 0 and machine.status is Status.FUEL:
                        self._step()
                    break
            self._step()
        return machine.status

    def _step(self) -> None:
        self.interpreted += 1
        self.machine.step()

    def _drive(self, drive: Callable[[int, int], int], unit: int) -> int:
        machine, context = self.machine, self.context
        for name in ("pc", "fuel", "limit", "fcsr", "reservation", "reserved_value"):
            context[name] = getattr(machine, name)
        context["x"], context["f"], context["status"] = machine.x, machine.f, 0
        context["stack_limit"] = stack_here() - self.native_stack
        self.entered += 1
        code = drive(self.address, unit)
        for name in ("pc", "fuel", "fcsr", "reservation", "reserved_value"):
            setattr(machine, name, int(context[name][0]))
        machine.x[:] = [int(value) for value in context["x"][0]]
        machine.f[:] = [int(value) for value in context["f"][0]]
        return code


def stack_here() -> int:
    """About where the native stack of this thread is."""
    return _stack_probe()


@cache
def _probe_code() -> loader.Code:
    text = """define i64 @here() {
  %p = call ptr @llvm.frameaddress.p0(i32 0)
  %i = ptrtoint ptr %p to i64
  ret i64 %i
}
declare ptr @llvm.frameaddress.p0(i32)
"""
    return loader.load(compiled(text))


def _stack_probe() -> int:
    return ctypes.CFUNCTYPE(ctypes.c_int64)(_probe_code().symbols["here"])()


def state_of(machine: Machine) -> dict[str, object]:
    """Everything that a stopped guest is, to be compared."""
    names = ("pc", "fuel", "fcsr", "status", "reservation", "reserved_value")
    state: dict[str, object] = {name: getattr(machine, name) for name in names}
    state |= {f"x{number}": value for number, value in enumerate(machine.x)}
    state |= {f"f{number}": value for number, value in enumerate(machine.f)}
    state["memory"] = bytes(machine.memory.private)
    if machine.status is Status.TRAP:
        state |= {"cause": machine.cause, "value": machine.value}
    return state


def difference(one: dict[str, object], other: dict[str, object]) -> str:
    """What differs, in words; empty when nothing does."""
    parts: list[str] = []
    for key in one.keys() | other.keys():
        a, b = one.get(key), other.get(key)
        if a != b:
            parts.append(f"{key}: {a:#x} / {b:#x}" if isinstance(a, int) and isinstance(b, int) else f"{key} differs")
    return ", ".join(sorted(parts))
