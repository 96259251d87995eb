"""`python -m faults.writer FOLDER MAX_BYTES FSYNC_MS PAUSE_S`: an outbox that is written to, and
nothing else.

Prints `stream seq durable_seq` after each append. The payload follows from stream and number, so
that whoever reads it later can tell every altered byte.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path

from edge_agent.outbox import Outbox


def tail(stream: str, seq: int) -> bytes:
    """What follows the number in the payload: between 64 and some 2000 bytes."""
    digest = hashlib.sha256(f"{stream}:{seq}".encode()).hexdigest().encode()
    return b":" + digest * (1 + seq % 30)


def payload(stream: str, seq: int) -> bytes:
    """The whole payload of an entry."""
    return b"head:%d%b" % (seq, tail(stream, seq))


def append(box: Outbox, seq: int) -> None:
    """Entry `seq`, the next one."""
    box.append("t/data", b"head:", tail(box.stream, seq), 1_000 * seq, 3)


def main(folder: str, max_bytes: int, fsync_ms: int, pause: float) -> None:
    """Append until killed."""
    box = Outbox(Path(folder), agent="w", max_bytes=max_bytes, fsync_ms=fsync_ms)
    seq = 0
    while True:
        seq += 1
        append(box, seq)
        os.write(1, f"{box.stream} {seq} {box.durable_seq}\n".encode())
        if pause:
            time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
