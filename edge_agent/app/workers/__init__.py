"""`edge-agent run` with `workers: N`: several processes that are one agent."""
