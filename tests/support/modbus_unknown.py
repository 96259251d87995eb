"""Modbus units that nobody has described: by published register maps with plausible values, and
strangers.

The maps are `tests/data/register_maps.csv`. What a real device has between the registers of its map
is there as well: zeros, or numbers of its own.
"""

from __future__ import annotations

import csv
import random
import struct
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.support.modbus_wire import encode

MAPS = Path(__file__).parents[1] / "data" / "register_maps.csv"
_RAW = {"uint16": 0xFFFF, "int16": 0x7FFF}
TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}


class Unit:
    """One unit: tables of registers of their own, an identification, and what it refuses."""

    def __init__(self, *, refuses: bool = True, texts: tuple[str, ...] | None = None) -> None:
        """`refuses`: what is not there is exception 2; else it reads 0."""
        self.tables: dict[str, dict[int, int]] = {
            "holding": {},
            "input": {},
            "coil": {},
            "discrete": {},
        }
        self.refuses = refuses
        self.texts = texts
        self.functions: list[int] = []

    def load(self, table: str, address: int, data: bytes) -> None:
        for n in range(0, len(data), 2):
            self.tables[table][address + n // 2] = int.from_bytes(data[n : n + 2], "big")

    def respond(self, pdu: bytes) -> bytes:
        """The PDU that answers a request PDU."""
        self.functions.append(pdu[0])
        if pdu[0] == 0x2B:
            return self._identification() if self.texts is not None else b"\xab\x01"
        if pdu[0] not in TABLES:
            return bytes([pdu[0] | 0x80, 1])
        function, address, count = struct.unpack(">BHH", pdu)
        registers = self.tables[TABLES[function]]
        wanted = range(address, address + count)
        if self.refuses and not all(at in registers for at in wanted):
            return bytes([function | 0x80, 2])
        words = [registers.get(at, 0) for at in wanted]
        if function <= 2:
            packed = sum(bool(word) << n for n, word in enumerate(words)).to_bytes(
                (count + 7) // 8, "little"
            )
            return bytes([function, len(packed)]) + packed
        return bytes([function, 2 * count]) + b"".join(word.to_bytes(2, "big") for word in words)

    def _identification(self) -> bytes:
        texts = self.texts or ()
        body = b"".join(
            bytes((n, len(text.encode()))) + text.encode() for n, text in enumerate(texts)
        )
        return bytes((0x2B, 0x0E, 1, 1, 0, 0, len(texts))) + body


def of_map(name: str, seed: int = 1, *, refuses: bool = True, neighbours: bool = False) -> Unit:
    """A device of one map in ordinary service. `neighbours`: numbers of its own between the
    registers of the map."""
    chosen = random.Random(f"{name} {seed}")
    unit = Unit(refuses=refuses)
    rows = [row for row in csv.DictReader(MAPS.read_text().splitlines()) if row["device"] == name]
    load = chosen.uniform(2, 40)
    for row in rows:
        value = _value(row["unit"], row["name"], load, chosen) / float(row["scale"])
        type_ = row["type"]
        raw: float | int = value if type_ == "float32" else round(value)
        if type_ in _RAW:
            raw = min(int(raw), _RAW[type_])
        unit.load(row["table"], int(row["address"]), encode(raw, type_, row["order"]))
    if neighbours:
        for table in ("holding", "input"):
            own = sorted(unit.tables[table])
            for at in own:
                for near in range(max(0, at - 40), at + 40):
                    unit.tables[table].setdefault(near, chosen.randrange(0x10000))
    return unit


def _value(unit: str, name: str, load: float, chosen: random.Random) -> float:
    volts = 400 if "l1l2" in name or "l2l3" in name or "l3l1" in name else 230
    watts = 230 * load
    ordinary: dict[str, Callable[[], float]] = {
        "V": lambda: volts * chosen.uniform(0.98, 1.02),
        "A": lambda: load * chosen.uniform(0.9, 1.1),
        "W": lambda: watts * chosen.uniform(0.8, 1),
        "kW": lambda: watts / 1000 * chosen.uniform(0.8, 1),
        "VA": lambda: watts,
        "kVA": lambda: watts / 1000,
        "var": lambda: watts * 0.3,
        "kvar": lambda: watts * 0.0003,
        "Hz": lambda: chosen.uniform(49.9, 50.1),
        "kWh": lambda: chosen.uniform(500, 90_000),
        "kvarh": lambda: chosen.uniform(100, 9000),
        "%": lambda: chosen.uniform(40, 100),
        "deg": lambda: 12.5,
        "rpm": lambda: chosen.uniform(800, 6000),
        "mm/min": lambda: chosen.uniform(100, 3000),
        "mm": lambda: chosen.uniform(-20, 20),
    }
    if unit in ordinary:
        return ordinary[unit]()
    return (
        chosen.uniform(0.85, 0.99) if "cosphi" in name else float(chosen.choice([1, 2, 4, 8, 16]))
    )


def _everywhere(make: Callable[[int, random.Random], int], seed: int) -> Unit:
    chosen, unit = random.Random(seed), Unit(refuses=False)
    for table in ("holding", "input"):
        unit.tables[table] = {at: make(at, chosen) for at in range(12_000)}
    return unit


def _floats(
    values: Callable[[random.Random], float], table: str, addresses: Iterable[int], seed: int
) -> Unit:
    chosen, unit = random.Random(seed), Unit()
    for at in addresses:
        unit.load(table, at, struct.pack(">f", values(chosen)))
    return unit


#: Devices that are of no profile.
STRANGERS: dict[str, Callable[[], Unit]] = {
    "zeros": lambda: Unit(refuses=False),
    "ffff": lambda: _everywhere(lambda at, chosen: 0xFFFF, 1),
    "one-number": lambda: _everywhere(lambda at, chosen: 2300, 1),
    "counting": lambda: _everywhere(lambda at, chosen: at & 0xFFFF, 1),
    "noise": lambda: _everywhere(lambda at, chosen: chosen.randrange(0x10000), 2),
    "small-numbers": lambda: _everywhere(lambda at, chosen: chosen.randrange(200), 3),
    "plc-of-100-words": lambda: _plc(),
    "oven-temperatures": lambda: _floats(
        lambda chosen: chosen.uniform(20, 400), "input", range(0, 120, 2), 4
    ),
    "dryer-temperatures": lambda: _floats(
        lambda chosen: chosen.uniform(60, 90), "holding", range(0, 120, 2), 5
    ),
}


def _plc() -> Unit:
    chosen, unit = random.Random(6), Unit()
    unit.tables["holding"] = {at: chosen.randrange(3000) for at in range(100)}
    return unit


def neighbours_of(values: Unit, own: Unit) -> Unit:
    """A unit with the values of another device where it has registers of its own."""
    made = Unit(refuses=own.refuses)
    for table, registers in own.tables.items():
        made.tables[table] = {at: values.tables[table].get(at, 0) for at in registers}
    return made
