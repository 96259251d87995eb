"""The suite for stores against InfluxDB 1.x: a database for each folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from edge_agent.config.models import StoreConfig
from edge_agent.stores import Store, open_store
from edge_agent.stores.testing import AGENT, StoreConformance
from tests.support import servers


class TestInfluxDb1(StoreConformance):
    deletes_by_age = False
    port: ClassVar[int]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        with servers.influxdb1(tmp_path_factory.mktemp("influxdb1")) as running:
            cls.port = running.port
            yield

    def open_store(self, folder: Path) -> Store:
        config = {
            "kind": "influxdb1",
            "url": f"http://127.0.0.1:{self.port}",
            "path": folder / "store",
            "bucket": "-".join(folder.parts[-2:]),
        }
        return open_store(StoreConfig.model_validate(config), AGENT)
