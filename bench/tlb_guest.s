# Touches one word in each of a number of pages, round after round; or writes TLB entries, one or 64 at a time.
# The bench writes the first words of .data before the guest starts. A miss is served from a table indexed by the page.
        .data
entries:.dword 0        # of the TLB; 0: the virtual MMU stays off
pages:  .dword 64       # frames to ask for
touched:.dword 63       # addresses 4160 apart in each round, so that they do not share a line of the host's cache
rounds: .dword 1
where:  .dword 0        # the first address; 0: behind this guest's own data
mode:   .dword 0        # 0 touch, 1 bind, 2 bind in batches
wired:  .dword 0, 0
batch:  .zero 1024
table:  .zero 32768
        .align 12
area:   .dword 0
        .text
_start: la s0, table
        la s8, entries
        ld s1, 8(s8)
        ld s3, 16(s8)
        ld s5, 24(s8)
        ld s4, 32(s8)
        ld s6, 40(s8)
        bnez s4, placed
        la s4, area
placed: ld a0, 0(s8)
        beqz a0, ready
        la a1, wired
        ld a2, 24(tp)
        sd a2, 0(a1)
        ld a2, 16(tp)
        sd a2, 8(a1)
        v.mmu a2, a0, a1
        bltz a2, fail
        la a0, handler
        sd a0, 56(tp)
        mv s2, s0
more:   mv a1, s1
        li a2, 64
        bleu a1, a2, few
        mv a1, a2
few:    v.allocate a2, s2, a1
        bne a2, a1, fail
        slli a2, a1, 3
        add s2, s2, a2
        sub s1, s1, a1
        bnez s1, more
ready:  li s7, 4160
        beqz s6, outer
        j binding
outer:  mv a3, s4
        mv a4, s3
inner:  ld a5, 0(a3)
        add a6, a6, a5
        add a3, a3, s7
        addi a4, a4, -1
        bnez a4, inner
        addi s5, s5, -1
        bnez s5, outer
done:   v.exit zero, zero, zero
fail:   li a0, 1
        v.exit zero, a0, zero
binding:ori s4, s4, 3
        ld a4, 0(s0)
        li a5, 1
        bne s6, a5, batched
bind:   v.bind zero, s4, a4
        addi s5, s5, -1
        bnez s5, bind
        j done
batched:la a0, batch
        li a1, 64
        mv a2, a0
fill:   sd s4, 0(a2)
        ld a4, 0(s0)
        sd a4, 8(a2)
        addi s0, s0, 8
        addi a2, a2, 16
        li a5, 4096
        add s4, s4, a5
        addi a1, a1, -1
        bnez a1, fill
        li a1, 64
binds:  v.binds zero, a0, a1
        addi s5, s5, -1
        bnez s5, binds
        j done
handler:ld t0, 80(tp)
        li t1, -4096
        and t0, t0, t1
        sub t2, t0, s4
        srli t2, t2, 9
        xori t2, t2, 8          # neighbours change places, so that no two pages in a row have frames in a row
        add t2, t2, s0
        ld t2, 0(t2)
        ori t0, t0, 3
        v.bind zero, t0, t2
        v.return zero, zero, zero
