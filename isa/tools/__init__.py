"""For people and as oracles: assembler, disassembler, manual, reference interpreter. Not trusted."""
