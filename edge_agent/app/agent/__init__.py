"""`edge-agent run`: one process that reads devices, and what it says of itself."""
