"""Services that misbehave, each in its own way; their neighbours must not notice."""
