"""Frames with owners, and the bindings that give a guest the use of them."""
