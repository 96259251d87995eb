"""`edge-agent demo`: a whole site without machines, on this computer alone."""
