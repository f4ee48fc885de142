"""The command `denali-py`."""


def main() -> None:
    """Run the command line."""
    raise SystemExit("denali-py: not assembled yet")
