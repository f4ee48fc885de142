"""The native interpreter and what else is compiled once and serves every guest."""
