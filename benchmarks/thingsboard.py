"""ThingsBoard IoT Gateway as a peer: its own environment, and its configuration of a shape.

Its defaults are kept, but for what would stop or slow it here: rate limits meant for a cloud
account, remote configuration, statistics. Its buffer stays the default one, in memory.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.shapes import LoadShape

VERSION = "3.8.5"
ENVIRONMENT = Path(".bench/thingsboard")
#: What it would install by itself at its first start.
_CONNECTORS = ("pymodbus==3.9.2", "pyserial", "pyserial-asyncio", "asyncua==1.1.5")
_NO_LIMIT = "0:0,"
_LIMITS = (
    "rateLimits",
    "dpRateLimits",
    "messagesRateLimits",
    "deviceMessagesRateLimits",
    "deviceRateLimits",
    "deviceDpRateLimits",
)


def install() -> None:
    """Make the environment unless it is there. Raises CalledProcessError."""
    ready = ENVIRONMENT / f"ready-{VERSION}"
    if ready.exists():
        return
    print(f"installing thingsboard-gateway {VERSION} into {ENVIRONMENT}", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(ENVIRONMENT / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    # Two steps: the gateway does not declare what its connectors need.
    subprocess.run([*pip, f"thingsboard-gateway=={VERSION}"], check=True)
    subprocess.run([*pip, *_CONNECTORS], check=True)
    ready.touch()


def command() -> list[str]:
    """How to start it; where its configuration is stands in the environment."""
    return [str(ENVIRONMENT.absolute() / "bin" / "python"), "-m", "thingsboard_gateway.tb_gateway"]


def environment(folder: Path) -> dict[str, str]:
    """The variables it needs. It asks a server of its maker for updates: a proxy that is not there
    keeps it local."""
    nowhere = "http://127.0.0.1:9"
    return {"TB_GW_CONFIG_DIR": str(folder), "HTTPS_PROXY": nowhere, "HTTP_PROXY": nowhere}


def configure(shape: LoadShape, endpoints: list[str], broker_port: int, folder: Path) -> None:
    """Write its files for a shape."""
    folder.mkdir()
    connector = {
        "name": "bench",
        "type": shape.protocol,
        "configuration": "bench.json",
        "logLevel": "ERROR",
    }
    (folder / "tb_gateway.json").write_text(
        json.dumps({**_gateway(broker_port), "connectors": [connector]})
    )
    make = _modbus if shape.protocol == "modbus" else _opcua
    (folder / "bench.json").write_text(
        json.dumps({"name": "bench", "logLevel": "ERROR", **make(shape, endpoints)})
    )
    logs = next(ENVIRONMENT.glob("lib/python*/site-packages/thingsboard_gateway/config/logs.json"))
    shutil.copy(logs, folder / "logs.json")


def _gateway(port: int) -> dict[str, Any]:
    return {
        "thingsboard": {
            "host": "127.0.0.1",
            "port": port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "maxPayloadSizeBytes": 8196,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "checkConnectorsConfigurationInSeconds": 60,
            "handleDeviceRenaming": True,
            "security": {"type": "accessToken", "accessToken": "bench"},
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "checkingDeviceActivity": {"checkDeviceInactivity": False},
            **dict.fromkeys(_LIMITS, _NO_LIMIT),
        },
        "storage": {"type": "memory", "read_records_count": 100, "max_records_count": 100000},
        "grpc": {"enabled": False},
    }


def _modbus(shape: LoadShape, endpoints: list[str]) -> dict[str, Any]:
    tags = [
        {
            "tag": f"v{i}",
            "type": "32float",
            "functionCode": 3,
            "objectsCount": 2,
            "address": i * shape.step,
        }
        for i in range(shape.tags)
    ]
    slaves = [
        {
            "host": "127.0.0.1",
            "port": int(url.rpartition(":")[2]),
            "type": "tcp",
            "method": "socket",
            "unitId": 1,
            "deviceName": f"dev-{n:04}",
            "deviceType": "default",
            "timeout": 35,
            "byteOrder": "BIG",
            "wordOrder": "BIG",
            "retries": 3,
            "pollPeriod": round(shape.every * 1000),
            "attributes": [],
            "timeseries": tags,
            "attributeUpdates": [],
            "rpc": [],
        }
        for n, url in enumerate(endpoints)
    ]
    return {"master": {"slaves": slaves}}


def _opcua(shape: LoadShape, endpoints: list[str]) -> dict[str, Any]:
    tags = [
        {"key": f"v{i}", "type": "identifier", "value": f"${{ns=2;s=v{i}}}"}
        for i in range(shape.tags)
    ]
    mapping = {
        "deviceNodeSource": "path", "deviceNodePattern": "Root\\.Objects",
        "deviceInfo": {
            "deviceNameExpression": "dev-0000", "deviceNameExpressionSource": "constant",
            "deviceProfileExpression": "default", "deviceProfileExpressionSource": "constant",
        },
        "attributes": [], "timeseries": tags, "rpc_methods": [], "attributes_updates": [],
    }  # fmt: skip
    server = {
        "url": endpoints[0],
        "timeoutInMillis": 5000,
        "scanPeriodInMillis": 3600000,
        "pollPeriodInMillis": round(shape.every * 1000),
        "enableSubscriptions": shape.mode == "subscribe",
        "subCheckPeriodInMillis": 100,
        "subDataMaxBatchSize": 1000,
        "subDataMinBatchCreationTimeMs": 200,
        "subscriptionProcessBatchSize": 2000,
        "sessionTimeoutInMillis": 120000,
        "security": "None",
        "identity": {"type": "anonymous"},
    }
    return {"server": server, "mapping": [mapping]}
