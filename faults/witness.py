"""`python -m faults.witness LOG COMMAND ...`: `edge-agent COMMAND ...` that also notes what its
outbox accepted.

One line each time `Outbox.append` has returned, in a file that no fault of the matrix touches:
`stream seq monotonic_ns durable_seq payload`. A line is one write of O_APPEND, so a kill leaves
only whole lines.
"""

from __future__ import annotations

import os
import sys
import time

from edge_agent.cli.main import main
from edge_agent.outbox import Outbox


def install(path: str) -> None:
    """Put the witness behind `append`."""
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC, 0o600)
    accept = Outbox.append

    def append(box: Outbox, topic: str, head: bytes, tail: bytes, t: int, values: int) -> int:
        seq = accept(box, topic, head, tail, t, values)
        note = f"{box.stream} {seq} {time.monotonic_ns()} {box.durable_seq} "
        os.write(fd, note.encode() + b"%b%d%b\n" % (head, seq, tail))
        return seq

    Outbox.append = append  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    install(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
