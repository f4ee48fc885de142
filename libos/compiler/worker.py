# pyright: basic, reportAttributeAccessIssue=false, reportArgumentType=false, reportCallIssue=false
# pyright: reportPrivateImportUsage=false, reportOptionalMemberAccess=false
"""The process that compiles: LLVM's fatal errors end a process, so it is never the caller's.

    python -m denali.libos.compiler.worker FILE NAME OUTPUT

Writes the image to OUTPUT and lines of JSON to its standard output: `progress`, then `sources` or `error`.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import sys
import sysconfig
import warnings
from pathlib import Path

from denali.libos.compiler.errors import CompileError


def load(path: Path, name: str):
    """Import the service as a module; its own folder is where it finds its neighbours."""
    if "." in name:
        return importlib.import_module(name)
    import denali.libos.compiler.dispatcher  # noqa: F401  before a neighbour called `types.py` stands in its way

    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def sources() -> list[str]:
    """The files of all modules loaded that are ours or the service's, not Python's own or another package's."""
    fixed = tuple(sysconfig.get_path(k) for k in ("stdlib", "platstdlib", "purelib", "platlib"))
    files = [(name, getattr(module, "__file__", None) or "") for name, module in list(sys.modules.items())]
    ours = {file for name, file in files if name.split(".")[0] == "denali" or not file.startswith(fixed)}
    return sorted(file for file in ours if file.endswith(".py"))


def compile_module(module, say) -> bytes:
    """The image of a loaded service."""
    from numba.core import types
    from numba.core.target_extension import target_override

    from denali.libos.compiler import kept, runtime
    from denali.libos.compiler.dispatcher import GuestFunction, announce
    from denali.libos.compiler.target import target

    main = getattr(module, "main", None)
    if main is None:
        raise CompileError(module.__file__, 0, "a service has a function `def main() -> int`")
    with target_override("denali"), kept.taking_turns(say):
        announce[0] = say
        result = GuestFunction.of(main).compile(())
    context, kind = target.target_context, result.signature.return_type
    if not isinstance(kind, types.Integer | types.Boolean | types.NoneType):
        raise CompileError(module.__file__, main.__code__.co_firstlineno, f"main returns {kind}, not int or None")
    returned = "void" if kind is types.none else str(context.get_return_type(kind))
    start = runtime.start(result.fndesc.mangled_name, returned)
    say(f"optimising {len(context.codegen().modules)} modules")
    return link(context, [start, runtime.MEMORY], say)


def link(context, texts: list[str], say) -> bytes:
    """The image; functions that only the generated code asks for are supplied in a second round."""
    from denali.isa.image import Image
    from denali.libos.compiler import codegen, depth, mathematics, runtime
    from denali.libos.compiler.linker import Linker, missing

    collected, keep = context.codegen(), {"_start", *runtime.KEPT}
    texts = [*texts, str(context.data.definitions(context.create_module("data")))]
    content = codegen.emit(collected, codegen.link(collected, texts, keep))
    supplied = mathematics.supply(missing(content))
    if supplied:
        say("adding parts of the library")
        content = codegen.emit(collected, codegen.link(collected, texts + supplied, keep | set(mathematics.SUPPLIED)))
    say("linking")
    first = Linker(content, context.names.of).link("_start")
    stack = depth.of(Image.from_elf(first, "service"))
    return first if stack is None else Linker(content, context.names.of, stack).link("_start")


def explain(error: BaseException, path: Path) -> CompileError:
    """Any failure as one message with a place."""
    if isinstance(error, CompileError):
        return CompileError(str(path), error.line, error.text) if Path(error.file).name == path.name else error
    from denali.libos.compiler import explain as numba_errors
    from denali.libos.compiler.dispatcher import compiling

    return numba_errors.explain(error, path, compiling)


def main(arguments: list[str]) -> int:
    """Compile one service."""
    file, name, output = arguments
    path = Path(file).resolve()
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the service prints while it is imported is not for our reader
    warnings.simplefilter("ignore")
    gc.disable()  # a short life: collecting would cost a tenth of it and free little

    def say(**message) -> None:
        print(json.dumps(message), file=channel, flush=True)

    try:
        say(progress=f"importing {name}")
        image = compile_module(load(path, name), lambda text: say(progress=text))
    except (Exception, SystemExit) as error:
        if os.environ.get("DENALI_TRACEBACK"):
            raise
        reason = explain(error, path)
        say(error={"file": reason.file, "line": reason.line, "text": reason.text})
        return 1
    Path(output).write_bytes(image)
    say(sources=sources())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
