/* The environment of the official riscv-tests on the virtual machine: user level only, exit by the EXIT service.
 * A passing test exits with 0, a failing one with its number. Macro names are the suite's interface. */
#ifndef DENALI_RISCV_TEST_H
#define DENALI_RISCV_TEST_H

#define TESTNUM gp
#define DENALI_EXIT(status) .insn r 0x0b, 0, 0, zero, status, zero

#define RVTEST_RV64U .macro init; .endm
#define RVTEST_RV64UF .macro init; csrwi fcsr, 0; .endm
#define RVTEST_RV32U RVTEST_RV64U
#define RVTEST_RV32UF RVTEST_RV64UF
#ifdef DENALI_WRITABLE_TEXT /* with link_writable.ld: read-only text is only the way to the test */
#define DENALI_BOOT .section .boot, "ax"; .globl _start; _start: la t0, denali_test; jr t0
#define RVTEST_CODE_BEGIN DENALI_BOOT; .section .text.init, "ax"; denali_test: init
#else
#define RVTEST_CODE_BEGIN .section .text.init; .globl _start; _start: init
#endif
#define RVTEST_CODE_END unimp
#define RVTEST_PASS li a0, 0; DENALI_EXIT(a0)
#define RVTEST_FAIL mv a0, TESTNUM; DENALI_EXIT(a0)

#define EXTRA_DATA
#define RVTEST_DATA_BEGIN EXTRA_DATA .align 4; .globl begin_signature; begin_signature:
#define RVTEST_DATA_END .align 4; .globl end_signature; end_signature:

#endif
