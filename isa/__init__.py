"""The virtual instruction set: definitions, decoder, assembler, reference interpreter, translator. Trusted."""
