"""Translations in use: made by workers, kept on disk, loaded, and found by guests."""
