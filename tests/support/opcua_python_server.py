"""The python `opcua` 0.98 server (another code base than asyncua's client of today), as a
program."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

from opcua import Server, ua

URI = "http://test.example/machine"


def main() -> None:
    """Serve on the port given until killed: the scalars, arrays, and a counter."""
    logging.disable(logging.CRITICAL)
    server = Server()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{sys.argv[1]}/test")
    index = server.register_namespace(URI)
    machine = server.nodes.objects.add_object(
        ua.NodeId("Machine", index), ua.QualifiedName("Machine", index)
    )

    def add(name: str, value: Any, kind: ua.VariantType) -> Any:
        return machine.add_variable(
            ua.NodeId(name, index), ua.QualifiedName(name, index), ua.Variant(value, kind)
        )

    for name, value in {
        "Boolean": True, "SByte": -5, "Byte": 200, "Int16": -3000, "UInt16": 60000, "Int32": -(2**31),
        "UInt32": 2**32 - 1, "Int64": -(2**62), "UInt64": 2**64 - 1, "Float": 1.5, "Double": 0.1,
        "String": "主轴 spindle", "ByteString": b"\x01\xff",
    }.items():  # fmt: skip
        add(name, value, ua.VariantType[name])
    add("LocalizedText", ua.LocalizedText("运行"), ua.VariantType.LocalizedText)
    add("Double[]", [1.5, -2.5], ua.VariantType.Double)
    bad = add("Bad", 2.0, ua.VariantType.Double)
    bad.set_data_value(
        ua.DataValue(ua.Variant(2.0, ua.VariantType.Double), ua.StatusCode(0x808C0000))
    )
    counter = add("Counter", 0.0, ua.VariantType.Double)
    server.start()
    value = 0.0
    while True:
        value += 1.0
        counter.set_value(value)
        time.sleep(0.05)  # the poll interval of this simulated machine


if __name__ == "__main__":
    main()
