/* The environment of riscv-arch-test on the virtual machine, and on any Linux for RISC-V, from the same ELF file.
 * A test ends in ecall: there the virtual machine stops with its signature in memory; Linux writes the signature to
 * standard output and exits. Macro names are the suite's interface. */
#ifndef DENALI_MODEL_TEST_H
#define DENALI_MODEL_TEST_H

#define mstatus fcsr /* RVTEST_FP_ENABLE sets a bit of it that fcsr does not have */

#ifdef DENALI_WRITABLE_TEXT /* with link_writable.ld: read-only text is only the way to the test */
#define RVMODEL_BOOT .pushsection .boot, "ax"; .globl _start; _start: la t0, rvtest_entry_point; jr t0; .popsection
#else
#define RVMODEL_BOOT .globl _start; _start:
#endif

#ifdef DENALI_WITHOUT_CTZW /* for a machine whose ctzw is wrong: the same from other instructions */
.macro ctzw rd, rs
  bseti \rd, \rs, 32
  ctz \rd, \rd
.endm
#endif

#define RVMODEL_HALT                                                                                                \
  li a0, 1; la a1, begin_signature; la a2, end_signature; sub a2, a2, a1; li a7, 64; ecall; /* write */             \
  li a0, 0; li a7, 93; ecall /* exit */
#define RVMODEL_DATA_BEGIN .align 4; .globl begin_signature; begin_signature:
#define RVMODEL_DATA_END .align 4; .globl end_signature; end_signature:

#define RVMODEL_IO_INIT
#define RVMODEL_IO_WRITE_STR(register, string)
#define RVMODEL_IO_CHECK()
#define RVMODEL_IO_ASSERT_GPR_EQ(scratch, register, value)
#define RVMODEL_IO_ASSERT_SFPR_EQ(register, scratch, value)
#define RVMODEL_IO_ASSERT_DFPR_EQ(register, scratch, value)

#endif
