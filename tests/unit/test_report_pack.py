"""The evidence pack: replayed by us and by a stranger who read its README only, and nothing can be
altered unseen."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge_agent.cli.main import main
from edge_agent.metrics.counters import CounterEvent
from edge_agent.metrics.definitions import BY_ID
from edge_agent.production.facts import MinuteHealth
from edge_agent.production.figures import FigureOptions, figures
from edge_agent.report import tabular
from edge_agent.report.archive import zipped
from edge_agent.report.document import ReportSetting, build
from edge_agent.report.pack import build as pack
from edge_agent.report.pack.verify import chain, read_pack, summary, verify
from edge_agent.report.parts.evidence import PackSubject
from tests.support import report_plant as golden
from tests.support.any_plant import any_plant
from tests.support.packs import write_pack
from tests.support.stranger import SCRIPT, claimed, stranger

pytestmark = pytest.mark.slow

CLAIM = pack.PackClaim("ZNH-2017-01", "测试厂", "dongguan", FigureOptions(), golden.END)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return pack.build(golden.plant(), CLAIM)


@pytest.fixture(scope="module")
def with_report() -> dict[str, bytes]:
    """A pack with the report of its window."""
    document = build(golden.plant(), ReportSetting("health-check", "x"))
    return pack.build(
        golden.plant(), replace(CLAIM, report={"report.json": json.dumps(document).encode()})
    )


@pytest.fixture
def folder(files: dict[str, bytes], tmp_path: Path) -> Path:
    return write_pack(tmp_path / "pack", files)


def resealed(files: dict[str, bytes], **changed: bytes) -> dict[str, bytes]:
    """The pack with other contents and a manifest that fits them: what a careful forger would hand
    in."""
    files = {**files, **{name.replace("__", "/"): content for name, content in changed.items()}}
    manifest = json.loads(files["manifest.json"])
    for entry in manifest["files"]:
        entry["sha256"] = hashlib.sha256(files[entry["path"]]).hexdigest()
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def test_every_figure_is_equal_when_replayed(files: dict[str, bytes]) -> None:
    result = summary(verify(files))
    assert result["equal"]
    assert result["counts"]["figure"]["checked"] > 40
    assert result["counts"]["file"]["checked"] == len(files) - 1


def test_a_stranger_computes_every_figure_from_the_readme(
    files: dict[str, bytes], folder: Path
) -> None:
    told = stranger(folder)
    assert told == claimed(folder)
    assert told.keys() >= {
        "M-05",
        "M-06",
        "M-07",
        "M-09",
        "M-15@EQ-001",
        "M-16-setup",
        "M-17-mttr",
        "M-21-p95",
    }
    assert "edge_agent" not in SCRIPT.read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", range(24))
def test_a_stranger_computes_every_figure_of_any_plant(seed: int, tmp_path: Path) -> None:
    plant, options = any_plant(seed)
    files = pack.build(plant, replace(CLAIM, options=options, timezone=str(options.zone)))
    assert summary(verify(files))["equal"]
    folder = write_pack(tmp_path / "pack", files)
    assert stranger(folder) == claimed(folder)


@pytest.mark.parametrize("known", [{"first_good": {}}, {}], ids=["never", "before"])
def test_a_stranger_computes_the_nulls_of_a_window_without_data(
    tmp_path: Path, known: dict[str, Any]
) -> None:
    """Nobody collected: whether a device was connected once or never, there is nothing to tell its
    networking from."""
    files = pack.build(
        golden.plant(minutes={}, states={}, counters=(), lateness={}, **known), CLAIM
    )
    assert summary(verify(files))["equal"]
    folder = write_pack(tmp_path / "pack", files)
    told = stranger(folder)
    assert told == claimed(folder)
    assert (told["M-04a-effective"], told["M-04d"], told["M-05-process"], told["M-06"]) == (
        None,
        None,
        None,
        None,
    )


def test_a_stranger_knows_of_a_unit_that_cannot_be_converted(tmp_path: Path) -> None:
    """The meter was read in m3 from the window's start on: nothing is known of its energy, in the
    pack either."""
    event = CounterEvent(golden.START + 1, "unit", Fraction(1), Fraction(1), basis="m3")
    counters = [
        replace(c, events=(event,)) if c.role == "energy" else c for c in golden.facts().counters
    ]
    files = pack.build(golden.plant(counters=tuple(counters)), CLAIM)
    assert summary(verify(files))["equal"]
    folder = write_pack(tmp_path / "pack", files)
    told = stranger(folder)
    assert told == claimed(folder)
    energy = [key for key in told if key.startswith(("M-18", "M-19", "M-20"))]
    assert energy
    assert {told[key] for key in energy} == {None}


def test_the_plants_of_any_kind_give_every_metric_a_value() -> None:
    """Nulls are equal easily: among these plants every metric has values, and they are not the same
    in all."""
    values: dict[str, set[str | None]] = {}
    for seed in range(24):
        plant, options = any_plant(seed)
        for key, result in figures(plant, options).items():
            values.setdefault(key.partition("@")[0], set()).add(
                str(result.value) if result.value is not None else None
            )
    assert values.keys() == BY_ID.keys()
    assert [key for key, found in values.items() if len(found - {None}) < 3] == []


def without(files: dict[str, bytes], schema: str, *names: str) -> dict[str, bytes]:
    """The pack without some files, and a manifest of this schema that fits."""
    files = {name: content for name, content in files.items() if name not in names}
    manifest = json.loads(files["manifest.json"])
    manifest |= {
        "schema": schema,
        "files": [each for each in manifest["files"] if each["path"] not in names],
    }
    return resealed({**files, "manifest.json": json.dumps(manifest).encode()})


def test_a_pack_of_the_format_before_is_replayed_where_its_rules_still_hold(
    files: dict[str, bytes],
) -> None:
    """It had no kinds and no stored values, and the row of a line was of whatever machines knew
    each figure."""
    options = json.loads(files["options.json"])
    del options["change_within_h"]
    figures = [
        each
        for each in json.loads(files["figures.json"])
        if not each["key"].startswith(("M-11-all", "M-12-all"))
    ]
    for each in figures:
        each["value_exact"] = "1/3" if each["key"] == "M-12@line:ML1" else each["value_exact"]
    former = without(files, "edge-agent/evidence/1", "kinds.csv", "facts/stored.csv")
    changed = {
        "options.json": json.dumps(options).encode(),
        "figures.json": json.dumps(figures).encode(),
    }
    former = resealed({**former, **changed})
    assert [check.name for check in verify(former) if not check.equal] == []
    figures[0]["value_exact"] = "1/7"
    forged = resealed({**former, "figures.json": json.dumps(figures).encode()})
    assert [check.name for check in verify(forged) if not check.equal] == [figures[0]["key"]]


def test_a_pack_without_what_its_format_has_is_not_replayed(files: dict[str, bytes]) -> None:
    broken = without(files, pack.SCHEMA, "facts/stored.csv")
    assert [(check.kind, check.name) for check in verify(broken) if not check.equal] == [
        ("facts", "replay")
    ]


def test_a_table_of_kinds_of_ones_own_is_named(files: dict[str, bytes]) -> None:
    content = files["kinds.csv"].replace(b",N,", b",Y,", 1)
    assert content != files["kinds.csv"]
    broken = resealed({**files, "kinds.csv": content})
    assert ("manifest", "kinds.csv") in [
        (check.kind, check.name) for check in verify(broken) if not check.equal
    ]


def test_an_altered_file_is_named(files: dict[str, bytes]) -> None:
    broken = {**files, "facts/states.csv": files["facts/states.csv"].replace(b",2,", b",3,")}
    different = [check.name for check in verify(broken) if not check.equal]
    assert "facts/states.csv" in different
    assert "M-11@EQ-001" in different


def test_forged_figures_are_found_although_the_hashes_fit(files: dict[str, bytes]) -> None:
    figures = json.loads(files["figures.json"])
    oee = next(figure for figure in figures if figure["key"] == "M-14@EQ-001")
    oee["value_exact"] = "19/20"
    checks = verify(resealed(files, **{"figures.json": json.dumps(figures).encode()}))
    assert [(check.kind, check.name, check.claimed) for check in checks if not check.equal] == [
        ("figure", "M-14@EQ-001", "19/20")
    ]


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("value", 0.99),
        ("value_pct", 99.0),
        ("unit", "kgce"),
        ("target", {"above": 0.5, "met": True}),
    ],
)
def test_the_number_one_looks_at_is_compared_too(
    files: dict[str, bytes], name: str, put: Any
) -> None:
    figures = json.loads(files["figures.json"])
    next(figure for figure in figures if figure["key"] == "M-01-strict")[name] = put
    checks = verify(resealed(files, **{"figures.json": json.dumps(figures).encode()}))
    assert [check.name for check in checks if not check.equal] == ["M-01-strict"]


@pytest.mark.parametrize(
    ("name", "put"),
    [
        ("name_zh", "设备联网率"),
        ("formula_en", "all / all"),
        ("notes", []),
        ("reason", {"zh": "达标", "en": "met"}),
        ("details", {"left_out": {}}),
        ("remark", "approved"),
    ],
)
@pytest.mark.parametrize("file", ["figures.json", "report.json"])
def test_words_put_into_a_figure_are_seen(
    with_report: dict[str, bytes], file: str, name: str, put: Any
) -> None:
    document = json.loads(with_report[file])
    told = document if file == "figures.json" else document["figures"]
    figure = next(figure for figure in told if figure["key"] == "M-04a-declared")
    was = figure.get(name)
    figure[name] = put
    checks = verify(resealed(with_report, **{file: json.dumps(document).encode()}))
    assert [
        (check.kind, check.name, check.claimed, check.found) for check in checks if not check.equal
    ] == [("words", f"{file} M-04a-declared {name}", put, was)]


def test_a_second_figure_of_the_same_key_is_seen(files: dict[str, bytes]) -> None:
    figures = json.loads(files["figures.json"])
    figures.insert(0, {**figures[0], "value_exact": "1"})
    checks = verify(resealed(files, **{"figures.json": json.dumps(figures).encode()}))
    assert [check.found for check in checks if not check.equal] == [
        "ValueError: two figures of one key"
    ]


@pytest.mark.parametrize(
    ("key", "put"),
    [("register_version", "0" * 64), ("window", {"from": "2020-01-01T00:00:00+00:00", "to": None})],
)
def test_what_a_manifest_says_of_its_facts_is_checked(
    files: dict[str, bytes], key: str, put: Any
) -> None:
    forged = {
        **files,
        "manifest.json": json.dumps({**json.loads(files["manifest.json"]), key: put}).encode(),
    }
    assert [(check.kind, check.name) for check in verify(forged) if not check.equal] == [
        ("manifest", key)
    ]


def test_options_that_say_otherwise_than_the_facts_are_seen(files: dict[str, bytes]) -> None:
    options = {**json.loads(files["options.json"]), "history_start_ns": 0}
    checks = verify(resealed(files, **{"options.json": json.dumps(options).encode()}))
    assert [(check.kind, check.name) for check in checks if not check.equal] == [
        ("manifest", "options.json")
    ]


def test_a_figure_left_out_or_added_is_found(files: dict[str, bytes]) -> None:
    figures = [figure for figure in json.loads(files["figures.json"]) if figure["key"] != "M-03"]
    figures.append({**figures[0], "key": "M-99"})
    checks = verify(resealed(files, **{"figures.json": json.dumps(figures).encode()}))
    assert {check.name for check in checks if not check.equal} == {"M-03", "M-99"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("facts/states.csv", b"device,t_ns\nlathe01,now\n"),
        ("facts/counters.csv", b"\xff\xfe\x00"),
        ("facts/health_minutes.csv", b"device,end_ns\nlathe01\n"),
        ("register.csv", b"equipment_id\n\n"),
        ("options.json", b"{}"),
        ("options.json", b"[" * 100_000),
        ("figures.json", b"[1]"),
        ("figures.json", b'[{"key": []}]'),
        ("register.csv", b"PK\x03\x04"),
    ],
)
def test_facts_that_cannot_be_read_are_an_answer_and_no_traceback(
    files: dict[str, bytes], name: str, content: bytes
) -> None:
    checks = verify(resealed(files, **{name: content}))
    assert [check.kind for check in checks if not check.equal] == ["facts"]


@pytest.mark.parametrize(
    ("name", "found", "put"),
    [
        ("options.json", b'"0.', b'"1e999999999'),
        ("options.json", b'"start_ns": ', b'"start_ns": 99999999999999'),
        ("facts/counters.csv", b",1000\r\n", b",1e999999999\r\n"),
        ("facts/counters.csv", b",1,,", b",1/0,,"),
        ("facts/health_minutes.csv", b",10,10,90,", b",10,10,99999999999999999999,"),
    ],
)
def test_a_number_beyond_all_measure_is_an_answer_too(
    files: dict[str, bytes], name: str, found: bytes, put: bytes
) -> None:
    """It filled the memory, or came out as a traceback."""
    assert found in files[name]
    checks = verify(resealed(files, **{name: files[name].replace(found, put, 1)}))
    assert not summary(checks)["equal"]


def test_a_missing_file_is_named(files: dict[str, bytes], folder: Path) -> None:
    (folder / "topology.svg").unlink()
    assert [check.name for check in verify(read_pack(folder)) if not check.equal] == [
        "topology.svg"
    ]


def test_the_chain_leads_to_the_pack_before(files: dict[str, bytes]) -> None:
    digest = hashlib.sha256(files["manifest.json"]).hexdigest()
    claim = replace(CLAIM, previous={"pack": "evidence-ZNH-2017-01-001", "manifest_sha256": digest})
    after = pack.build(golden.plant(), claim)
    assert summary(verify(after, files))["equal"]
    other = {**files, "manifest.json": files["manifest.json"] + b"\n"}
    assert [check.kind for check in verify(after, other) if not check.equal] == ["chain"]
    assert [check.kind for check in verify(files, after) if not check.equal] == ["chain"]


def test_folder_and_zip_are_the_same_pack(
    files: dict[str, bytes], folder: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "pack.zip"
    archive.write_bytes(zipped(files))
    assert read_pack(folder) == read_pack(archive) == files
    assert zipped(files) == zipped(dict(files))


def test_the_command_says_equal_or_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(folder)]) == 0
    told = capsys.readouterr().out
    assert "= figure M-04a-effective 11/19" in told
    assert "all equal" in told
    (folder / "README.md").write_text("other", encoding="utf-8")
    assert main(["verify", str(folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["counts"]["file"]["different"] == 1
    assert main(["verify", str(folder / "nothing")]) == 2


def test_a_name_like_a_formula_is_harmless_in_the_tables_for_people() -> None:
    name = "=cmd|' /C calc'!A0"
    rows = [
        replace(row, name_zh=name, controller_brand="@SUM(A1)")
        for row in golden.register().equipment
    ]
    made = pack.build(golden.plant(golden.only(golden.register(), *rows)), CLAIM)
    assert summary(verify(made))["equal"]
    for table in ("project.csv", "domestic.csv"):
        cells = [
            cell for row in csv.reader(io.StringIO(made[table].decode("utf-8-sig"))) for cell in row
        ]
        assert f"'{name}" in cells, table
        assert not [cell for cell in cells if cell.startswith(("=", "@"))]
    assert name.encode() in made["register.csv"]  # what is computed from stays as it was written


def test_the_acceptance_log_has_the_days_of_the_page(tmp_path: Path) -> None:
    """Minutes on both sides of the plant's midnight, which is 16:00 UTC: the days and sums of the
    HTML's table."""
    midnight = golden.START + 16 * 60 * golden.MINUTE  # the next day begins in Dongguan
    ends = [midnight - golden.MINUTE, midnight, midnight + golden.MINUTE]
    rows = [
        [t, 60_000, 60_000, 1, 1, good, 1, good + 1, 0, t]
        for t, good in zip(ends, (3, 5, 7), strict=True)
    ]
    plant = golden.plant(
        end=midnight + 4 * 60 * golden.MINUTE, minutes={"lathe01": MinuteHealth(rows)}
    )
    made = pack.build(plant, replace(CLAIM, timezone="Asia/Shanghai"))
    told = [
        (row["day"], row["timezone"], row["good_readings"])
        for row in tabular.read(made["acceptance.csv"])
    ]
    assert told == [("2026-05-04", "Asia/Shanghai", "8"), ("2026-05-05", "Asia/Shanghai", "7")]
    page = build(
        plant,
        ReportSetting(
            "evidence", "t", timezone="Asia/Shanghai", project=PackSubject(CLAIM.project)
        ),
    )
    log = next(
        b["rows"] for p in page["parts"] for b in p["blocks"] if b.get("name") == "acceptance"
    )
    assert [(row[0], "Asia/Shanghai", str(row[3])) for row in log] == told
    assert summary(verify(made))["equal"]
    options = json.loads(made["options.json"]) | {"timezone": "UTC"}
    moved = resealed(made, **{"options.json": json.dumps(options).encode()})
    assert "acceptance.csv" in [check.name for check in verify(moved) if not check.equal]


def test_the_project_has_its_rows_and_total(files: dict[str, bytes]) -> None:
    rows = tabular.read(files["project.csv"])
    assert {row["项目编号"] for row in rows} == {"ZNH-2017-01"}
    total = tabular.read(files["project_totals.csv"])[0]
    known = [row for row in golden.register().equipment if row.project_id == "ZNH-2017-01"]
    assert int(total["machines"]) == len(rows) == len(known)
    assert Fraction(total["purchase_total_cny"]) == sum(
        Fraction(row.purchase_cny or 0) for row in known
    )


def test_facts_come_back_from_their_tables_as_they_were() -> None:
    facts = golden.facts()
    again = tabular.facts(facts.start, facts.end, dict(tabular.tables(facts)))

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items()}
        if isinstance(value, MinuteHealth):
            return value.rows.tolist()
        return tuple(value) if isinstance(value, list | tuple) else value

    for name in (
        "devices",
        "first_good",
        "minutes",
        "states",
        "counters",
        "lateness",
        "quality",
        "plan",
    ):
        assert plain(getattr(again, name)) == plain(getattr(facts, name)), name


@given(st.fractions())
@example(Fraction(7, 549755813888))
@example(Fraction(-(10**30) - 1, 1000))
def test_every_number_survives_its_digits(number: Fraction) -> None:
    assert Fraction(tabular.digits(number)) == number


@given(st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_any_text_survives_a_table(rows: list[tuple[str, str]]) -> None:
    kept = [(a, b) for a, b in rows if "\x00" not in a + b]
    try:
        content = tabular.write(("a", "b"), kept)
    except UnicodeEncodeError:  # half a surrogate is no text that a file could hold
        return
    assert [(row["a"], row["b"]) for row in tabular.read(content)] == kept


# --- what a forger may try ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("facts/counters.csv", b",1120\r\n", b",1121\r\n"),
        ("facts/health_minutes.csv", b",90,", b",91,"),
        ("facts/first_good.csv", b"0000000000\r\n", b"0000000001\r\n"),
        ("facts/lateness.csv", b",900,1", b",901,1"),
        ("register.csv", b",60,", b",61,"),
        ("processes.csv", b",Y,", b",N,"),
        ("project_totals.csv", b"0,", b"1,"),
        ("acceptance.csv", b",90,", b",99,"),
        ("snapshots.csv", b"at,", b"on,"),
    ],
)
def test_one_changed_number_in_a_csv_is_seen(
    files: dict[str, bytes], name: str, old: bytes, new: bytes
) -> None:
    assert old in files[name], files[name][:300]
    broken = {**files, name: files[name].replace(old, new, 1)}
    assert name in [
        check.name for check in verify(broken) if check.kind == "file" and not check.equal
    ]


@pytest.mark.parametrize(
    "name", ["project_totals.csv", "acceptance.csv", "connections.csv", "domestic.csv"]
)
def test_a_table_for_people_is_made_again_although_its_hash_fits(
    files: dict[str, bytes], name: str
) -> None:
    checks = verify(resealed(files, **{name: files[name] + b"x,1\r\n"}))
    assert [(check.kind, check.name) for check in checks if not check.equal] == [("table", name)]


def test_a_report_that_says_otherwise_than_the_figures_is_found(
    with_report: dict[str, bytes],
) -> None:
    document = json.loads(with_report["report.json"])
    assert ("report", "report.json") in [(check.kind, check.name) for check in verify(with_report)]
    assert summary(verify(with_report))["equal"]
    figure = next(each for each in document["figures"] if each["key"] == "M-03")
    figure["value_exact"] = "19/19"
    forged = resealed(with_report, **{"report.json": json.dumps(document).encode()})
    wrong = [(check.name, check.claimed) for check in verify(forged) if not check.equal]
    assert wrong == [("report.json M-03", "19/19")]


def test_a_file_that_no_manifest_lists_is_named(files: dict[str, bytes], folder: Path) -> None:
    (folder / "facts" / "more.csv").write_bytes(b"a\r\n1\r\n")
    (folder / ".DS_Store").write_bytes(b"a desktop's own")
    different = [check.name for check in verify(read_pack(folder)) if not check.equal]
    assert different == ["facts/more.csv"]


def test_an_entry_taken_out_of_the_manifest_is_seen(files: dict[str, bytes]) -> None:
    manifest = json.loads(files["manifest.json"])
    manifest["files"] = [entry for entry in manifest["files"] if entry["path"] != "acceptance.csv"]
    cut = {name: content for name, content in files.items() if name != "acceptance.csv"}
    cut["manifest.json"] = json.dumps(manifest).encode()
    assert [(check.kind, check.name) for check in verify(cut) if not check.equal] == [
        ("table", "acceptance.csv")
    ]


def chained(folder: Path) -> list[Path]:
    """Three packs, each of which names the one before."""
    made: list[Path] = []
    for number in (1, 2, 3):
        before = None
        if made:
            content = (made[-1] / "manifest.json").read_bytes()
            before = {"pack": made[-1].name, "manifest_sha256": hashlib.sha256(content).hexdigest()}
        claim = replace(CLAIM, previous=before, issued_ns=golden.END + number * 10**9)
        made.append(write_pack(folder / f"pack-{number}", pack.build(golden.plant(), claim)))
    return made


def test_the_chain_is_followed_to_the_first_pack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *_, last = chained(tmp_path)
    checks, missing = chain(last)
    assert [(check.name, check.equal) for check in checks] == [("pack-2", True), ("pack-1", True)]
    assert missing is None
    assert main(["verify", str(last)]) == 0
    assert "chain: 2 项 checked, 0 项不符 different" in capsys.readouterr().out


def test_a_broken_chain_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _, last = chained(tmp_path)
    manifest = json.loads((first / "manifest.json").read_bytes())
    (first / "manifest.json").write_text(
        json.dumps({**manifest, "issued": "2020-01-01T00:00:00+00:00"})
    )
    assert main(["verify", str(last)]) == 1
    assert "≠ chain pack-1" in capsys.readouterr().out


def test_a_pack_of_the_chain_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _, last = chained(tmp_path)
    shutil.rmtree(first)
    assert main(["verify", str(last)]) == 0
    assert "pack-1 is not beside the pack" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../elsewhere", "", "pack-3"])
def test_a_chain_does_not_leave_its_folder_and_ends(tmp_path: Path, name: str) -> None:
    *_, last = chained(tmp_path)
    manifest = json.loads((last / "manifest.json").read_bytes())
    manifest["previous"]["pack"] = name
    (last / "manifest.json").write_text(json.dumps(manifest))
    assert chain(last) == ([], name)
