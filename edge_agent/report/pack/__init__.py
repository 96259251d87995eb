"""The evidence pack: written, explained to a stranger, and replayed."""
