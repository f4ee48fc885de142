"""What each instruction is, does and looks like, said once."""
