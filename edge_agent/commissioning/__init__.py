"""From a cable to a checked file: what is at the end of the wire, and what is not well on the way
to the store."""
