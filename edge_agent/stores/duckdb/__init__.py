"""The embedded store: one DuckDB file, and what it takes to open, write, check and salvage it."""
