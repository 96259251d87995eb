"""One table without a wire: what is asked, what replies mean, and what refusals teach."""

from __future__ import annotations

import pytest

from connectors.modbus.options import ModbusDevice
from connectors.modbus.reader import REASK, SEARCH_BUDGET, ModbusTableReader
from connectors.modbus.transport import MalformedReplyError, SkippedError
from connectors.modbus.unit import Unit
from edge_agent.model import STATUS, status_name
from edge_agent.sdk import DeviceError
from tests.support.modbus_wire import Device, make_table


def reader(tags, **options):
    return ModbusTableReader(make_table(tags), Unit("d", ModbusDevice(url="tcp://h", **options)))


def read(made, device):
    """One read against a device; (values, {place: status name}, requests)."""
    asked = []
    wave = made.first()
    while wave:
        asked.append([(r.table, r.address, r.count) for r in wave])
        pdus = [device.answer(request.adu[1:]) for request in wave]
        wave = made.next([pdu[1] if pdu[0] & 0x80 else pdu[2:] for pdu in pdus])
    batch = made.finish(123)
    assert batch.t == 123
    return batch.values, {n: status_name(code) for n, code in batch.status.items()}, asked


def holding(addresses, **keys):
    return {f"t{a}": {"address": f"holding/{a}", **keys} for a in addresses}


def test_a_hole_is_found_remembered_and_only_its_tag_is_bad(caplog):
    device = Device({a: a for a in range(100)})
    device.holes = {37}
    made = reader(holding(range(100)))
    values, status, asked = read(made, device)
    assert values == [None if a == 37 else a for a in range(100)]
    assert status == {37: "BadConfigurationError"}
    assert len(asked) == 7  # one refusal a wave, of 100, 50, 25, 13, 6, 3 and 1 registers
    values, status, asked = read(made, device)
    assert (values[36], values[38], status) == (36, 38, {37: "BadConfigurationError"})
    assert asked == [[("holding", 0, 37), ("holding", 38, 62)]]
    assert len([r for r in caplog.records if "modbus-refused" in r.message]) == 1
    assert "t37" in caplog.text


def test_a_hole_in_a_gap_costs_no_tag():
    device = Device({a: a for a in range(40)})
    device.holes = {20}
    made = reader(holding([*range(10, 15), *range(25, 30)]))
    values, status, _ = read(made, device)
    assert (values, status) == ([*range(10, 15), *range(25, 30)], {})
    assert read(made, device)[2] == [[("holding", 10, 5), ("holding", 25, 5)]]


def test_a_device_that_takes_fewer_registers_than_configured():
    device = Device({a: a for a in range(120)}, limit=50)
    made = reader(holding(range(120)))
    for _ in range(3):
        values, status, asked = read(made, device)
        assert (values, status) == (list(range(120)), {})
    assert len(asked) == 1
    assert len(asked[0]) == 4


def test_a_value_of_two_registers_is_bad_when_one_of_them_is_missing():
    device = Device({a: a for a in range(12)})
    device.holes = {5}
    made = reader(holding(range(0, 12, 2), type="uint32"))
    values, status, _ = read(made, device)
    assert [v is None for v in values] == [False, False, True, False, False, False]
    assert status == {2: "BadConfigurationError"}


@pytest.mark.slow
def test_a_search_is_spread_over_several_reads():
    device = Device()
    device.holes = set(range(2000))
    made = reader(holding(range(0, 2000, 2), type="uint32"))
    for _ in range(200):
        values, status, asked = read(made, device)
        assert sum(map(len, asked)) <= 17 + SEARCH_BUDGET
        assert values == [None] * 1000
        assert len(status) == 1000
        if set(status.values()) == {"BadConfigurationError"}:
            break
        assert "BadWaitingForInitialData" in status.values()
    else:
        raise AssertionError("the search does not come to an end")
    assert len(read(made, device)[2][0]) == 1, "one probe keeps showing whether the device is there"
    device.holes = set()
    for _ in range(100):
        values, status, asked = read(made, device)
        assert len(status) == values.count(None)
    assert (None in values, status) == (False, {})
    assert sum(map(len, asked)) == 17


@pytest.mark.slow
def test_a_search_broken_off_begins_again():
    device = Device({a: a for a in range(2000)})
    device.holes = set(range(1000, 2000))
    made = reader(holding(range(2000)))
    for _ in range(5):
        read(made, device)
        made.first()  # asked, and the connection lost before any reply
    for _ in range(200):
        values, status, _ = read(made, device)
    assert values == [*range(1000), *[None] * 1000]
    assert set(status.values()) == {"BadConfigurationError"}
    assert len(status) == 1000


def test_a_missing_value_is_asked_for_again_now_and_then():
    device = Device({a: a for a in range(10)})
    device.holes = {4}
    made = reader(holding(range(10)))
    read(made, device)
    device.holes = set()
    for _ in range(REASK + 1):
        values, status, asked = read(made, device)
    assert (values, status) == (list(range(10)), {})
    assert asked == [[("holding", 0, 10)]]


def test_the_tables_of_a_device_share_what_was_learnt():
    device = Device({a: a for a in range(20)})
    device.holes = {7}
    unit = Unit("d", ModbusDevice(url="tcp://h"))
    first = ModbusTableReader(make_table(holding(range(20))), unit)
    read(first, device)
    second = ModbusTableReader(
        make_table({**holding([5, 9]), "wide": {"address": "holding/6", "type": "uint32"}}), unit
    )
    values, status, asked = read(second, device)
    assert (values, status) == ([5, 9, None], {2: "BadConfigurationError"})
    assert asked == [[("holding", 5, 1), ("holding", 6, 2), ("holding", 9, 1)]]


def test_reopening_asks_again_for_what_was_missing():
    device = Device({a: a for a in range(10)})
    device.holes = {4}
    unit = Unit("d", ModbusDevice(url="tcp://h"))
    made = ModbusTableReader(make_table(holding(range(10))), unit)
    read(made, device)
    device.holes = set()
    unit.forget_missing()
    made.replan()
    assert read(made, device)[:2] == (list(range(10)), {})
    assert read(made, device)[2] == [[("holding", 0, 10)]]


def test_all_four_tables_and_an_unsorted_table():
    device = Device({a: a for a in range(300)})
    tags = {
        "z": {"address": "holding/9"},
        "a": {"address": "coil/1"},
        "m": {"address": "input/200"},
        "b": {"address": "discrete/0"},
        "y": {"address": "holding/3"},
        "again": {"address": "holding/9"},
    }
    values, status, asked = read(reader(tags), device)
    assert (values, status) == ([9, True, 200, False, 3, 9], {})
    assert len(asked[0]) == 4


def test_what_was_answered_stays_good_when_the_rest_is_not():
    made = reader(holding([0, 500, 1000]))
    error = DeviceError(STATUS["BadTimeout"], "no answer")
    made.first()
    assert made.next([b"\0\1", error, error]) == []
    batch = made.finish(5)
    assert batch.values == [1, None, None]
    assert batch.status == {1: STATUS["BadTimeout"], 2: STATUS["BadTimeout"]}
    made.first()
    made.next([error, error, error])
    with pytest.raises(DeviceError):
        made.finish(6)


# --- requests that bring no answer ----------------------------------------------------------------

LOST = DeviceError(STATUS["BadNoCommunication"], "the peer closed the connection", lost=True)
SILENCE = DeviceError(STATUS["BadTimeout"], "no answer within 1 s")


class Clockwork:
    """Monotonic seconds that a test moves."""

    now = 0.0

    def __call__(self):
        return self.now


def failing(made, device, bad, error=LOST):
    """One read; a request that touches an address of `bad` fails, and what is behind it is given
    up. (values, {place: status name}, [(address, count)]), or the error."""
    asked, wave = [], made.first()
    while wave:
        asked += [(r.address, r.count) for r in wave]
        replies, stopped = [], False
        for request in wave:
            if stopped:
                replies.append(SkippedError(error.status, error.detail, lost=error.lost))
            elif bad & set(range(request.address, request.address + request.count)):
                replies.append(error)
                stopped = True
            else:
                pdu = device.answer(request.adu[1:])
                replies.append(pdu[1] if pdu[0] & 0x80 else pdu[2:])
        wave = made.next(replies)
    try:
        batch = made.finish(1)
    except DeviceError as fault:
        return fault, {}, asked
    return batch.values, {n: status_name(code) for n, code in batch.status.items()}, asked


@pytest.mark.parametrize("error", [LOST, SILENCE], ids=["hang-up", "silence"])
def test_f05_a_hole_that_costs_the_connection_is_learned(error, caplog):
    device = Device({a: a for a in range(40)})
    made = reader(holding([*range(4), *range(10, 14)]))
    reads = [failing(made, device, set(range(4, 10)), error) for _ in range(6)]
    assert [bool(status) for _, status, _ in reads[3:]] == [False] * 3
    assert reads[-1][2] == [(0, 4), (10, 4)]
    assert "max_gap: 0" in caplog.text


@pytest.mark.parametrize("error", [LOST, SILENCE], ids=["hang-up", "silence"])
@pytest.mark.parametrize("bad", [0, 7, 39])
def test_f07_one_address_amid_many_that_costs_the_connection(error, bad, caplog):
    device = Device({a: a for a in range(40)})
    made = reader(holding(range(40)))
    for _ in range(30):
        values, status, asked = failing(made, device, {bad}, error)
    assert status == {bad: "BadConfigurationError"}
    assert [v for v in values if v is not None] == [a for a in range(40) if a != bad]
    assert len(asked) <= 5, "a wide request is halved, so a few seams remain"
    assert len([r for r in caplog.records if "modbus-costly" in r.message]) == 1


def test_f07_several_addresses_that_cost_the_connection():
    device, bad = Device({a: a for a in range(60)}), {7, 20, 59}
    made = reader(holding(range(60)))
    for _ in range(60):
        values, status, asked = failing(made, device, bad)
    assert [a for a, value in enumerate(values) if value is None] == sorted(bad) == sorted(status)
    assert asked == [(0, 7), (8, 12), (21, 38)]


def test_f07_a_span_that_costs_something_is_asked_for_once_a_minute():
    device, clock = Device({2: 2, 500: 500}), Clockwork()
    made = ModbusTableReader(
        make_table(holding([2, 500])), Unit("d", ModbusDevice(url="tcp://h"), clock)
    )
    for _ in range(3):
        failing(made, device, {500})
    asked = []
    for second in range(240):
        clock.now = float(second)
        asked += [second for address, _ in failing(made, device, {500})[2] if address == 500]
    assert len(asked) == 3
    clock.now = 400.0
    assert failing(made, device, set())[0] == [2, 500]
    assert failing(made, device, set())[2] == [(2, 1), (500, 1)]


def test_f07_a_span_that_costs_something_says_so_and_a_retry_asks_for_it_at_once():
    device, unit = Device({2: 2, 500: 500}), Unit("d", ModbusDevice(url="tcp://h"), Clockwork())
    made = ModbusTableReader(make_table(holding([2, 500])), unit)
    for _ in range(5):
        asked = failing(made, device, {500})[2]
    assert asked == [(2, 1)]
    wave = made.first()
    made.next([device.answer(request.adu[1:])[2:] for request in wave])
    why = made.finish(1).causes
    assert {place: cause.name for place, cause in why.items()} == {1: "modbus_costly"}
    assert "holding/500" in why[1].zh
    unit.retry()
    made.replan()
    assert failing(made, device, set())[:2] == ([2, 500], {})


@pytest.mark.parametrize("error", [LOST, SILENCE], ids=["hang-up", "silence"])
def test_a_device_that_answers_nothing_teaches_nothing(error, caplog):
    device = Device({a: a for a in range(400)})
    tags = holding([*range(0, 40, 2), *range(100, 130), 300])
    plan_ = [(0, 39), (100, 30), (300, 1)]
    for silent_reads in (1, 2, 3, 5, 8, 30, 200):
        made = reader(tags)
        for _ in range(silent_reads):
            assert isinstance(failing(made, device, set(range(400)), error)[0], DeviceError)
        for _ in range(3):
            _, status, asked = failing(made, device, set(), error)
            assert not status
        assert asked == plan_
    assert not [r for r in caplog.records if r.message.startswith(("modbus-hole", "modbus-costly"))]


@pytest.mark.parametrize("error", [LOST, SILENCE], ids=["hang-up", "silence"])
def test_what_has_been_answered_is_not_doubted_by_an_outage(error, caplog):
    device = Device({a: a for a in range(400)})
    made = reader(holding([*range(0, 40, 2), 300]))
    failing(made, device, set())
    for _ in range(50):
        failing(made, device, set(range(400)), error)
    _, status, asked = failing(made, device, set())
    assert (status, asked) == ({}, [(0, 39), (300, 1)])
    assert not caplog.records


def test_a_malformed_answer_now_and_then_teaches_nothing():
    device = Device({a: a for a in range(40)})
    made = reader(holding([*range(4), *range(10, 14)]))
    noise = MalformedReplyError(STATUS["BadDecodingError"], "7 data bytes")
    for n in range(60):
        failing(made, device, set(range(40)) if n % 3 == 2 else set(), noise)
    assert failing(made, device, set())[2] == [(0, 14)]


def test_a_wide_number_is_read_high_low_high_where_it_is_refused_whole():
    device = Device({4: 0x0001, 5: 0x0002, 9: 9}, limit=1)
    made = reader(
        {"wide": {"address": "holding/4", "type": "uint32"}, "word": {"address": "holding/9"}}
    )
    read(made, device)
    values, status, asked = read(made, device)
    assert (values, status) == ([0x0001_0002, 9], {})
    assert asked[1:] == [[("holding", 4, 1)], [("holding", 5, 1)], [("holding", 4, 1)]]


def test_a_wide_number_that_is_refused_in_parts_as_well_is_missing():
    device = Device({5: 5}, limit=1)
    device.holes = {4}
    made = reader(
        {"wide": {"address": "holding/4", "type": "uint32"}, "word": {"address": "holding/9"}}
    )
    for _ in range(4):
        values, status, asked = read(made, device)
    assert (values[0], status) == (None, {0: "BadConfigurationError"})
    assert asked == [[("holding", 9, 1)]]


def test_a_refused_address_is_never_put_together_from_its_halves():
    """Exception 2 may say that the number would be half of one and half of another."""
    device = Device({a: a for a in range(10)})
    made = reader(
        {"odd": {"address": "holding/5", "type": "float32"}, "word": {"address": "holding/9"}}
    )
    asked = []
    wave = made.first()
    while wave:
        asked += [r.count for r in wave]
        wave = made.next(
            [
                2 if r.count == 2 else device.answer(r.adu[1:])[2:] if r.count == 1 else 2
                for r in wave
            ]
        )
    assert asked == [5, 2, 1]
    assert status_name(made.finish(1).status[0]) == "BadConfigurationError"


def test_a_hole_under_an_optional_tag_is_not_logged(caplog):
    from dataclasses import replace

    device = Device({a: a for a in range(10)})
    device.holes = {3, 4}
    table = make_table(holding(range(6)))
    tags = tuple(replace(tag, optional=tag.name == "t3") for tag in table.tags)
    made = ModbusTableReader(
        type(table)(table.device, table.every, tags), Unit("d", ModbusDevice(url="tcp://h"))
    )
    _, status, _ = read(made, device)
    assert status == {3: "BadConfigurationError", 4: "BadConfigurationError"}
    assert "t4" in caplog.text
    assert "t3" not in caplog.text


def test_single_precision_travels_as_its_shortest_decimal():
    import struct

    written = [230.7, 0.1, 1e-7, 71687208.0] * 5
    words = struct.unpack(">40H", struct.pack(">20f", *written))
    device = Device(dict(enumerate(words)))
    tags = {f"f{n}": {"address": f"holding/{2 * n}", "type": "float32"} for n in range(20)}
    assert read(reader(tags), device)[0] == written
    mixed = {"i": {"address": "holding/0"}, "f": {"address": "holding/0", "type": "float32"}}
    mixed["a"] = {"address": "holding/2", "type": "float32", "count": 2}
    assert read(reader(mixed), device)[0] == [words[0], 230.7, [0.1, 1e-7]]
    device.holes = {0}
    assert read(reader(tags), device)[0][:2] == [None, 0.1]
