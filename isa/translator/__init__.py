"""From guest code to the text of an LLVM module: one function for every unit."""
