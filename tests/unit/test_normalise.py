"""Scale, sentinel, range, enumeration, report by change, machine state: on columns, whole and
partial."""

from __future__ import annotations

import math

import orjson
import pytest

from edge_agent import payload
from edge_agent.config.models import StateConfig
from edge_agent.model import STATUS, Batch, Report, Tag, TagTable
from edge_agent.normalise import Normaliser
from edge_agent.normalise.state import StateMachine

SECOND = 1_000_000_000


def table(*tags: Tag) -> TagTable:
    return TagTable("dev", 1.0, tags)


def test_scale_offset_and_range() -> None:
    normaliser = Normaliser(
        table(Tag("t", "float", None, scale=0.1, offset=-40.0, low=-40.0, high=120.0))
    )
    batch = Batch(normaliser.table, 1, [1000])
    normaliser.apply(batch)
    assert batch.values == [60.0]
    assert batch.status == {}
    batch = Batch(normaliser.table, 2, [5000])
    normaliser.apply(batch)
    assert batch.values == [460.0]
    assert batch.status == {0: STATUS["UncertainEngineeringUnitsExceeded"]}


def test_a_sentinel_is_no_number_and_is_judged_before_scaling() -> None:
    normaliser = Normaliser(table(Tag("t", "int", None, scale=10.0, sentinels=(0x7FFF, 65535.0))))
    for raw in (0x7FFF, 0xFFFF):
        batch = Batch(normaliser.table, 1, [raw])
        normaliser.apply(batch)
        assert batch.values == [None]
        assert batch.status == {0: STATUS["BadSensorFailure"]}


def test_not_a_number_is_bad_in_whole_and_partial_batches() -> None:
    tags = [Tag(name, "float", None) for name in "abc"]
    normaliser = Normaliser(table(*tags))
    whole = Batch(normaliser.table, 1, [1.0, math.nan, math.inf])
    normaliser.apply(whole)
    assert whole.values == [1.0, None, None]
    assert set(whole.status) == {1, 2}
    partial = Batch(normaliser.table, 1, [math.nan], columns=[2])
    normaliser.apply(partial)
    assert partial.status == {0: STATUS["BadSensorFailure"]}


def test_a_number_outside_its_enumeration_is_uncertain() -> None:
    normaliser = Normaliser(table(Tag("mode", "int", None, labels={0: "idle", 1: "run"})))
    batch = Batch(normaliser.table, 1, [7])
    normaliser.apply(batch)
    assert batch.status == {0: STATUS["UncertainEngineeringUnitsExceeded"]}
    assert batch.values == [7]


def test_report_by_change_keeps_deadband_quality_and_silence() -> None:
    report = Report(on_change=True, deadband=0.5, max_silence=10.0)
    normaliser = Normaliser(table(Tag("p", "float", None, report=report), Tag("q", "float", None)))

    def sent(t: int, value: float | None, status: dict[int, int] | None = None) -> list[str]:
        batch = Batch(normaliser.table, t * SECOND, [value, 1.0], status)
        normaliser.apply(batch)
        news = normaliser.reportable(batch)
        if news is None:
            return []
        return list(orjson.loads(b'{"a":1' + payload.data_tail(news)).get("values"))

    assert sent(0, 20.0) == ["p", "q"]
    assert sent(1, 20.4) == ["q"]
    assert sent(2, 20.6) == ["p", "q"]
    assert sent(3, 20.6) == ["q"]
    assert sent(13, 20.6) == ["p", "q"]
    assert sent(14, None, {0: STATUS["BadTimeout"]}) == ["q"]  # bad: in `quality`, not in `values`
    assert sent(15, 20.6) == ["p", "q"]
    assert sent(4, 20.6) == ["p", "q"]  # a clock set back must not silence a tag


def test_percent_deadband_is_of_the_range() -> None:
    report = Report(on_change=True, deadband_percent=1.0)
    normaliser = Normaliser(table(Tag("p", "float", None, low=0.0, high=200.0, report=report)))
    news = []
    for t, value in enumerate([100.0, 101.9, 102.1]):
        batch = Batch(normaliser.table, t, [value])
        normaliser.apply(batch)
        news.append(normaliser.reportable(batch) is not None)
    assert news == [True, False, True]


STATE = StateConfig.model_validate(
    {
        "item": [
            {"tag": "alarm", "equals": True, "gives": "OutOfService"},
            {"tag": "run", "equals": [2, 3], "gives": "Executing"},
            {"gives": "NotExecuting"},
        ],
        "mode": {"tag": "op", "map": {0: "Setup", 2: "Processing"}},
    }
)


def state_machine(*tables: TagTable) -> StateMachine:
    machine = StateMachine.compile(STATE, tables, frozenset())
    assert machine is not None
    return machine


def test_machine_state_comes_from_rules_over_several_tables() -> None:
    fast = table(Tag("alarm", "bool", None), Tag("run", "int", None))
    slow = table(Tag("op", "int", None))
    machine = state_machine(fast, slow)
    one, two = Normaliser(fast, machine), Normaliser(slow, machine)
    assert one.table.names == ("alarm", "run", "machine_state", "operation_mode")
    assert two.table.names == ("op",)
    two.apply(Batch(slow, 1, [2]))
    batch = Batch(fast, 2, [False, 3])
    one.apply(batch)
    assert batch.values == [False, 3, 3, 3]
    batch = Batch(fast, 3, [True, 3])
    one.apply(batch)
    assert batch.values[2] == 1


def test_a_state_is_bad_when_what_it_needs_is_bad_and_not_available_outside_its_map() -> None:
    whole = table(Tag("alarm", "bool", None), Tag("run", "int", None), Tag("op", "int", None))
    normaliser = Normaliser(whole, state_machine(whole))
    batch = Batch(whole, 1, [None, 3, 9], {0: STATUS["BadTimeout"]})
    normaliser.apply(batch)
    assert batch.values[3:] == [None, 0]
    assert batch.status[3] == STATUS["BadTimeout"]
    assert batch.status[4] == STATUS["UncertainEngineeringUnitsExceeded"]


def test_a_data_document_is_what_the_contract_says() -> None:
    tags = table(
        Tag("spindle_speed", "float", None), Tag("tool_no", "int", None), Tag("load", "float", None)
    )
    batch = Batch(
        tags,
        1763900000123456789,
        [8000.5, None, 140.0],
        {1: STATUS["BadTimeout"], 2: STATUS["UncertainEngineeringUnitsExceeded"]},
        source=[1763900000120000000, None, None],
    )
    text = payload.head("vmc-02", "ipc-01/0/9f3c") + b"1234" + payload.data_tail(batch)
    assert orjson.loads(text) == {
        "v": 1,
        "device": "vmc-02",
        "stream": "ipc-01/0/9f3c",
        "seq": 1234,
        "ts": 1763900000123,
        "t": 1763900000123456789,
        "values": {"spindle_speed": 8000.5, "load": 140.0},
        "quality": {"tool_no": "BadTimeout", "load": "UncertainEngineeringUnitsExceeded"},
        "source": {"spindle_speed": 1763900000120},
    }


@pytest.mark.parametrize("columns", [None, (0, 2)])
def test_one_source_time_for_all_is_said_of_each(columns: tuple[int, ...] | None) -> None:
    names = ('a "quoted" name', "主轴转速", "back\\slash\n")
    tags = table(*(Tag(name, "int", None) for name in names))
    told = [names[at] for at in columns or range(3)]
    time = 1763900000120999999
    batch = Batch(tags, time, list(range(len(told))), None, [time] * len(told), columns)
    for _ in range(2):
        document = orjson.loads(b'{"a":1' + payload.data_tail(batch))
        assert document["source"] == dict.fromkeys(told, 1763900000120)
        assert list(document["values"]) == told


def test_tags_whose_type_only_the_device_knows_may_be_of_any() -> None:
    tags = [Tag(name, "any", None) for name in ("number", "text", "list", "flag")] + [
        Tag("plain", "float", None)
    ]
    made = Normaliser(table(*tags))
    for _ in range(2):
        batch = Batch(table(*tags), 1, [1.5, "run", [1.0, 2.0], True, float("nan")])
        made.apply(batch)
        assert batch.values == [1.5, "run", [1.0, 2.0], True, None]
        assert batch.status == {4: STATUS["BadSensorFailure"]}
    only_text = table(Tag("text", "any", None))
    batch = Batch(only_text, 1, ["run"])
    Normaliser(only_text).apply(batch)
    assert batch.values == ["run"]
