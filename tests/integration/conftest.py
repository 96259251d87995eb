"""What several integration tests need once a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.modbus_foreign import libmodbus_program


@pytest.fixture(scope="session")
def libmodbus_server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program."""
    return libmodbus_program(tmp_path_factory.mktemp("libmodbus"))
