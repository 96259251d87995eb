"""Metrics as pure functions of the equipment register and of live facts. Nothing here does I/O but
reading a shift calendar or facts from a file; the application feeds the facts from the store."""
