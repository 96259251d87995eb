"""YAML in, a validated `Site` out: all errors at once, each with its line, before the first socket opens."""
