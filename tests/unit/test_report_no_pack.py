"""What is handed in as an evidence pack and is none: a sentence, and nothing read beyond its folder
and bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from edge_agent.errors import FindingsError
from edge_agent.production.figures import FigureOptions
from edge_agent.report.archive import zipped
from edge_agent.report.pack import build as pack
from edge_agent.report.pack.verify import read_pack
from tests.support import report_plant as golden
from tests.support.packs import write_pack


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return pack.build(
        golden.plant(),
        pack.PackClaim("ZNH-2017-01", "测试厂", "dongguan", FigureOptions(), golden.END),
    )


def test_a_zip_with_two_files_of_one_name_is_no_pack(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "twice.zip"
    with ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("figures.json", b"[]")
    with pytest.raises(FindingsError, match="two files of one name"):
        read_pack(path)


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/hostname", "a/../../b", "C:\\x", "..\\x"])
def test_a_manifest_that_points_out_of_its_folder_is_refused(
    files: dict[str, bytes], tmp_path: Path, path: str
) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"][0]["path"] = path
    folder = write_pack(tmp_path / "pack", {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(folder)


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/hostname", "a/../../b", "C:\\x", "..\\x"])
def test_a_zip_with_a_file_outside_the_pack_is_refused_although_no_manifest_lists_it(
    files: dict[str, bytes], tmp_path: Path, name: str
) -> None:
    archive = tmp_path / "pack.zip"
    archive.write_bytes(zipped({**files, name: b""}))
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(archive)


@pytest.mark.parametrize(
    "changed",
    [
        {"files": None},
        {"files": ["a"]},
        {"files": [{"path": "a"}]},
        {"files": [{"path": 1, "sha256": ""}]},
        {"previous": "x"},
    ],
    ids=str,
)
def test_a_manifest_of_another_shape_is_no_pack(
    files: dict[str, bytes], tmp_path: Path, changed: dict[str, Any]
) -> None:
    manifest = json.loads(files["manifest.json"]) | changed
    folder = write_pack(tmp_path / "pack", {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(folder)


@pytest.mark.slow
def test_a_small_zip_that_unpacks_into_much_is_no_pack(
    files: dict[str, bytes], tmp_path: Path
) -> None:
    archive = tmp_path / "pack.zip"
    archive.write_bytes(zipped({**files, "facts/more.csv": bytes(150_000_000)}))
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(archive)


@pytest.mark.parametrize("at", [6, 8], ids=["encrypted", "method"])
def test_a_zip_that_python_cannot_unpack_is_no_pack(
    files: dict[str, bytes], tmp_path: Path, at: int
) -> None:
    raw = bytearray(zipped(files))
    for offset in (raw.index(b"PK\x03\x04") + at, raw.index(b"PK\x01\x02") + at + 2):
        raw[offset] |= 0x61
    archive = tmp_path / "pack.zip"
    archive.write_bytes(raw)
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(archive)


@pytest.mark.parametrize("content", [None, b"", b"[]", b'{"schema": "other"}', b"{"])
def test_what_is_no_pack_is_said_plainly(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FindingsError, match="no evidence pack"):
        read_pack(tmp_path)
