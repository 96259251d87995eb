"""Reports and evidence packs: facts of a window in, one plain document out, and its renderings.

Everything here is a function of `Facts` (what the store knew) and of the register, so whatever a report says can be
computed again from the facts alone; the application gathers the facts, and writes the files.
"""
