"""`edge-agent demo` and `simulate`: a whole site without machines, on this computer alone."""
