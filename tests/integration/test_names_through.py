"""Accepted names, the nasty ones, through real brokers and real stores and back."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path

import orjson
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge_agent import names
from edge_agent.config.models import StoreConfig as StoreConfig
from edge_agent.ingest import messages
from edge_agent.stores import Rows, WriteBatch, open_store
from edge_agent.topics import Topics
from tests.support import servers

Broker = Callable[[Path], AbstractContextManager[servers.Server]]
SECOND = 1_000_000_000
T0 = (int(time.time()) - 3600) * SECOND
DEVICES = [
    "vmc-01",
    "a=b",
    "a,b",
    "=",
    ",",
    "'",
    '"',
    "it's",
    'a"b',
    "a.b",
    "a.",
    "a*b",
    "a>",
    "a:b",
    "%23",
    "{x}",
    "-",
    "~",
    "null",
    "设备一号",
    "é",
    "e\u0301",
    "😀",
    "!",
    "@",
    "&",
    "(x)",
    "[y]",
    "设" * 85,
    "x" * 256,
]
TAGS = [
    *DEVICES,
    "a b",
    "spindle speed (rpm)",
    "a/b",
    "+",
    "#",
    "$a",
    ".a",
    "a = b",
    "a, b",
    "*",
    ">",
    "time",
    "tag",
    "device",
    "num",
    "ends=",
    "ends,",
]


def test_the_samples_are_names() -> None:
    assert [name for name in DEVICES if names.level_fault(name)] == []
    assert [name for name in TAGS if names.fault(name)] == []


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[StoreConfig]:
    with ExitStack() as stack:
        url = None
        if kind != "duckdb":
            start = servers.influxdb1 if kind == "influxdb1" else servers.victoria_metrics
            url = f"http://127.0.0.1:{stack.enter_context(start(folder / kind)).port}"
        yield StoreConfig.model_validate(
            {"kind": kind, "url": url, "path": folder / "s", "bucket": "edge"}
        )


@pytest.mark.parametrize("kind", ["duckdb", "influxdb1", "line"])
def test_every_name_reads_back_from_the_store(kind: str, tmp_path: Path) -> None:
    with store_of(kind, tmp_path) as config, closing(open_store(config, "a")) as store:
        key = store.catalogue.keys.key
        chunks, expected = [], {}
        for place, device in enumerate(DEVICES):
            values = {tag: place * 1000.0 + at for at, tag in enumerate(TAGS)}
            expected |= {(device, tag): value for tag, value in values.items()}
            found = {
                "v": 1,
                "device": device,
                "stream": "a/0/1",
                "seq": place + 1,
                "t": T0,
                "values": values,
            }
            message = messages.read(
                f"edge/e/s/a/l/{device}/data", orjson.dumps(found), store.catalogue
            )
            assert not message.refused, message.refused
            chunks.append(message.chunk)
        health = [
            {
                "device": key("a", device),
                "t": T0,
                "state": "online",
                "scheduled_s": 1,
                "covered_s": 1,
            }
            for device in DEVICES
        ]
        batch = WriteBatch(
            Rows.of([chunk for chunk in chunks if chunk is not None]), T0 + SECOND, health=health
        )
        assert store.check(batch) == []
        store.write(batch)
        if config.url and kind == "line":
            urllib.request.urlopen(f"{config.url}/internal/force_flush").read()
        # Each tag with one device, and each device with one tag: all pairs would be a thousand
        # questions.
        pairs = [
            *((DEVICES[at % len(DEVICES)], tag) for at, tag in enumerate(TAGS)),
            *((d, TAGS[0]) for d in DEVICES),
        ]
        for device, tag in pairs:
            got = store.samples(key("a", device), tag, T0 - SECOND, T0 + SECOND).values()
            assert got == [expected[device, tag]], (device, tag)
        assert set(store.health(T0 - SECOND, T0 + SECOND)) == {
            key("a", device) for device in DEVICES
        }


@pytest.mark.parametrize("broker", [servers.mosquitto, servers.nats], ids=["mosquitto", "nats"])
def test_every_level_comes_through_the_broker(broker: Broker, tmp_path: Path) -> None:
    with broker(tmp_path) as server:
        arrived: list[str] = []
        answers: list[bool] = []
        client = mqtt.Client(CallbackAPIVersion.VERSION2, "reader")
        client.on_message = lambda _c, _u, message: arrived.append(message.topic)
        client.on_subscribe = lambda _c, _u, _m, codes, _p: answers.append(not codes[0].is_failure)
        client.connect("127.0.0.1", server.port)
        client.loop_start()
        try:
            # Site by site: nats-server grants a session as many subscriptions as an ingest needs.
            for name in DEVICES:
                topics = Topics(name, name, name)
                client.subscribe(topics.all("data"), 1)
                wait(lambda: len(answers) == 1, f"no answer to the subscription of {name}")
                assert answers.pop(), name
                topic = f"{topics.device(name, name, name)}/data"
                client.publish(topic, b"{}", 1)
                wait(lambda: bool(arrived), f"{topic} did not come")
                assert arrived == [topic]
                arrived.clear()
                client.unsubscribe(topics.all("data"))
        finally:
            client.disconnect()
            client.loop_stop()


def wait(done: Callable[[], bool], what: str) -> None:
    """Poll with a deadline."""
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, what
        time.sleep(0.01)  # poll interval of this waiter
