"""The compiler from Python modules to RV64 ELF images: a numba target and a linker."""
