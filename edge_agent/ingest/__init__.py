"""From the broker into the store, each message exactly once in effect."""
