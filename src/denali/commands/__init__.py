"""The subcommands of `denali-py`, a file each."""
