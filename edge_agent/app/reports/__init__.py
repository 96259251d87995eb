"""`edge-agent report`: from a site and its store to files for people."""
