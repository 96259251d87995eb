"""One target under atheris, in a process of its own: libFuzzer ends the process at the first
finding."""

from __future__ import annotations

import sys

import atheris

from fuzz import catalogue


def main(name: str, *options: str) -> None:
    """Never returns: atheris exits with libFuzzer's status."""
    # Everything the decoders are made of is instrumented; the libraries below them, and the
    # oracles, are not.
    with atheris.instrument_imports(include=["connectors", "edge_agent"]):
        target = catalogue.find(name)
        for seed in target.seeds():
            target.run(seed)  # what is imported at first use is instrumented too
    atheris.Setup([sys.argv[0], *options, f"-max_len={target.longest}"], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
