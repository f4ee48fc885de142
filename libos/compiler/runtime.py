"""The functions that LLVM takes for granted, as LLVM text, and the start of every guest.

Written as text because a compiler would turn their loops into calls of themselves; `no-builtins` keeps it from that.
The machine allows misaligned accesses, so whole words are copied whatever the addresses are. The last one is a helper
that numba's `reshape` calls, for the only arrays that reach it: contiguous ones.
"""

from __future__ import annotations

MEMORY = """
define ptr @memcpy(ptr %to, ptr %from, i64 %size) #0 {
entry:
  %words = and i64 %size, -8
  br label %word
word:
  %i = phi i64 [ 0, %entry ], [ %next, %copy ]
  %more = icmp ult i64 %i, %words
  br i1 %more, label %copy, label %byte
copy:
  %source = getelementptr i8, ptr %from, i64 %i
  %target = getelementptr i8, ptr %to, i64 %i
  %value = load i64, ptr %source, align 1
  store i64 %value, ptr %target, align 1
  %next = add i64 %i, 8
  br label %word
byte:
  %j = phi i64 [ %words, %word ], [ %last, %single ]
  %left = icmp ult i64 %j, %size
  br i1 %left, label %single, label %done
single:
  %one = getelementptr i8, ptr %from, i64 %j
  %place = getelementptr i8, ptr %to, i64 %j
  %letter = load i8, ptr %one
  store i8 %letter, ptr %place
  %last = add i64 %j, 1
  br label %byte
done:
  ret ptr %to
}

define ptr @memmove(ptr %to, ptr %from, i64 %size) #0 {
entry:
  %a = ptrtoint ptr %to to i64
  %b = ptrtoint ptr %from to i64
  %ahead = sub i64 %a, %b
  %apart = icmp uge i64 %ahead, %size
  br i1 %apart, label %forward, label %byte
forward:
  %same = call ptr @memcpy(ptr %to, ptr %from, i64 %size)
  ret ptr %to
byte:
  %tail = and i64 %size, 7
  %words = and i64 %size, -8
  br label %single
single:
  %j = phi i64 [ %size, %byte ], [ %less, %step ]
  %more = icmp ugt i64 %j, %words
  br i1 %more, label %step, label %word
step:
  %less = sub i64 %j, 1
  %one = getelementptr i8, ptr %from, i64 %less
  %place = getelementptr i8, ptr %to, i64 %less
  %letter = load i8, ptr %one
  store i8 %letter, ptr %place
  br label %single
word:
  %i = phi i64 [ %words, %single ], [ %down, %copy ]
  %left = icmp ugt i64 %i, 0
  br i1 %left, label %copy, label %done
copy:
  %down = sub i64 %i, 8
  %source = getelementptr i8, ptr %from, i64 %down
  %target = getelementptr i8, ptr %to, i64 %down
  %value = load i64, ptr %source, align 1
  store i64 %value, ptr %target, align 1
  br label %word
done:
  ret ptr %to
}

define ptr @memset(ptr %to, i32 %value, i64 %size) #0 {
entry:
  %letter = trunc i32 %value to i8
  %wide = zext i8 %letter to i64
  %word8 = mul i64 %wide, 72340172838076673
  %words = and i64 %size, -8
  br label %word
word:
  %i = phi i64 [ 0, %entry ], [ %next, %fill ]
  %more = icmp ult i64 %i, %words
  br i1 %more, label %fill, label %byte
fill:
  %target = getelementptr i8, ptr %to, i64 %i
  store i64 %word8, ptr %target, align 1
  %next = add i64 %i, 8
  br label %word
byte:
  %j = phi i64 [ %words, %word ], [ %last, %single ]
  %left = icmp ult i64 %j, %size
  br i1 %left, label %single, label %done
single:
  %place = getelementptr i8, ptr %to, i64 %j
  store i8 %letter, ptr %place
  %last = add i64 %j, 1
  br label %byte
done:
  ret ptr %to
}

define i32 @memcmp(ptr %left, ptr %right, i64 %size) #0 {
entry:
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %same ]
  %more = icmp ult i64 %i, %size
  br i1 %more, label %compare, label %equal
compare:
  %l = getelementptr i8, ptr %left, i64 %i
  %r = getelementptr i8, ptr %right, i64 %i
  %a = load i8, ptr %l
  %b = load i8, ptr %r
  %different = icmp ne i8 %a, %b
  br i1 %different, label %unequal, label %same
same:
  %next = add i64 %i, 1
  br label %loop
unequal:
  %x = zext i8 %a to i32
  %y = zext i8 %b to i32
  %order = sub i32 %x, %y
  ret i32 %order
equal:
  ret i32 0
}

define i32 @numba_attempt_nocopy_reshape(i64, ptr, ptr, i64 %count, ptr %extents, ptr %strides, i64 %item, i32) #1 {
entry:
  br label %loop
loop:
  %i = phi i64 [ %count, %entry ], [ %at, %axis ]
  %stride = phi i64 [ %item, %entry ], [ %wider, %axis ]
  %more = icmp sgt i64 %i, 0
  br i1 %more, label %axis, label %done
axis:
  %at = sub i64 %i, 1
  %place = getelementptr i64, ptr %strides, i64 %at
  store i64 %stride, ptr %place
  %source = getelementptr i64, ptr %extents, i64 %at
  %extent = load i64, ptr %source
  %wider = mul i64 %stride, %extent
  br label %loop
done:
  ret i32 1
}

attributes #1 = { nounwind }
attributes #0 = { nounwind noinline "no-builtins" }
"""

KEPT = ("memcpy", "memmove", "memset", "memcmp")


def start(main: str, kind: str) -> str:
    """`_start`: call the service's main (which returns LLVM type `kind`, `void` for nothing), exit with its value.

    Main is not inlined: `_start` has no lines of its own, so LLVM would drop main's.
    """
    call = f'call {"ptr" if kind == "void" else kind} @"{main}"() noinline'
    declare = f'declare {"ptr" if kind == "void" else kind} @"{main}"()'
    if kind == "void":
        status, value = "  " + call, "0"
    elif kind == "i64":
        status, value = f"  %status = {call}", "%status"
    else:
        status, value = f"  %result = {call}\n  %status = sext {kind} %result to i64", "%status"
    return f"""
{declare}
declare i64 @denali.service.0(i64) noreturn nounwind
define void @_start() nounwind {{
{status}
  call i64 @denali.service.0(i64 {value})
  unreachable
}}
"""
