"""For any register and any live facts: rates from 0 to 1, unchanged by row order, monotone where
they must be."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.metrics.assessment import Assessment
from edge_agent.metrics.evaluate import METRICS, compute, evaluate
from edge_agent.metrics.evidence import DAY_S
from edge_agent.metrics.live import DeviceFacts, LiveEvidence
from edge_agent.metrics.result import percent
from edge_agent.register.columns import CONTROL, INTERFACE, ORIGIN, STATUS
from edge_agent.register.model import Equipment, Process, Register
from tests.support.exploration import examples

DEVICES = [f"d{number}" for number in range(6)]
PROCESSES = [f"P{number}" for number in range(4)]

seconds = st.fractions(0, 40 * DAY_S, max_denominator=10)
facts = st.builds(
    DeviceFacts,
    last_good_age_s=st.none() | seconds,
    coverage=st.none() | st.fractions(0, 1, max_denominator=100),
    history_s=st.none() | seconds,
    connected=st.booleans(),
    controller=st.booleans(),
    normalised=st.none() | st.booleans(),
    business_links=st.frozensets(st.sampled_from(["设备管理", "能耗管理", "采购管理"])),
).flatmap(
    lambda fact: st.builds(
        lambda whole, part, expected, good: replace(
            fact,
            scheduled_s=whole,
            online_s=whole * part,
            expected=expected,
            good=expected * good // 100,
        ),
        seconds,
        st.fractions(0, 1, max_denominator=100),
        st.integers(0, 10_000),
        st.integers(0, 100),
    )
)
lives = st.builds(
    LiveEvidence,
    st.dictionaries(st.sampled_from(DEVICES), facts),
    st.just(10**18),
    st.none() | st.integers(1, 86_400),
)
machines = st.builds(
    Equipment,
    equipment_id=st.uuids().map(str),
    in_scope=st.booleans(),
    status=st.sampled_from(["in_use", "in_use", *STATUS]),
    process_id=st.sampled_from(["", *PROCESSES]),
    control_class=st.sampled_from(list(CONTROL)),
    digital=st.booleans(),
    interface=st.sampled_from(list(INTERFACE)),
    networked_declared=st.booleans(),
    gateway_device=st.sampled_from(["", *DEVICES, "d0;d1"]),
    is_robot=st.booleans(),
    brand_origin=st.sampled_from(["", *ORIGIN]),
    purchase_cny=st.none() | st.decimals(0, 10**6, places=2),
)
processes = st.builds(
    Process,
    process_id=st.sampled_from(PROCESSES),
    is_key=st.booleans(),
    industry_type=st.sampled_from(["discrete", "process"]),
)
registers = st.builds(
    lambda equipment, steps: Register(tuple(equipment), tuple(steps)),
    st.lists(machines, max_size=12, unique_by=lambda machine: machine.equipment_id),
    st.lists(processes, max_size=4, unique_by=lambda process: process.process_id),
)


few = settings(max_examples=examples(40))


@few
@given(registers, lives, st.booleans())
def test_every_rate_is_between_zero_and_one_or_null_with_a_reason(
    register: Register, live: LiveEvidence, robot_is_nc: bool
) -> None:
    for metric, result in compute(Assessment(register, live, 0, robot_is_nc)).items():
        assert (result.value is None) == (result.reason is not None), metric
        if result.value is None:
            continue
        assert 0 <= result.value <= 1, metric
        assert result.denominator, metric
        assert result.numerator is not None
        assert result.value == result.numerator / result.denominator
        assert set(result.numerator_ids) <= set(result.denominator_ids), metric
        assert (result.grade is None) <= (result.numerator == 0)


@few
@given(registers, lives, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(register: Register, live: LiveEvidence, random) -> None:  # type: ignore[no-untyped-def]
    equipment, steps = list(register.equipment), list(register.processes)
    random.shuffle(equipment)
    random.shuffle(steps)
    assert evaluate(Register(tuple(equipment), tuple(steps)), live) == evaluate(register, live)


@few
@given(registers, lives)
def test_readings_are_ordered_and_counts_are_the_ids(
    register: Register, live: LiveEvidence
) -> None:
    results = compute(Assessment(register, live))
    strict, prorata, some = (results[f"M-01-{kind}"].value for kind in ("strict", "prorata", "any"))
    if prorata is not None:
        assert strict is not None
        assert some is not None
        assert strict <= prorata <= some
    for kind in "abc":
        declared, effective = results[f"M-04{kind}-declared"], results[f"M-04{kind}-effective"]
        assert set(effective.numerator_ids) <= set(declared.numerator_ids)
        assert effective.denominator_ids == declared.denominator_ids
    assert set(results["M-10"].numerator_ids) <= set(results["M-09"].numerator_ids)
    seen = any(facts.collected for facts in live.devices.values())
    assert (results["M-04a-effective"].numerator is None) == (
        any(row.counted for row in register.equipment) and not seen
    )
    for metric in ("M-02", "M-03", *(["M-04a-effective"] if seen else []), "M-08-count", "M-09"):
        assert results[metric].numerator == len(results[metric].numerator_ids)
        assert results[metric].denominator == len(results[metric].denominator_ids)


MONOTONE = {
    "M-01-strict": {"control_class": "cnc"},
    "M-01-prorata": {"control_class": "cnc"},
    "M-01-any": {"control_class": "cnc"},
    "M-02": {"control_class": "cnc"},
    "M-03": {"digital": True},
    "M-04a-declared": {"networked_declared": True},
    "M-04a-effective": {"networked_declared": True},
    "M-04b-declared": {"networked_declared": True},
    "M-04c-effective": {"networked_declared": True},
}


@few
@given(registers, lives, st.integers(0, 11), st.sampled_from(sorted(MONOTONE)))
def test_a_machine_made_better_never_lowers_its_rate(
    register: Register, live: LiveEvidence, at: int, metric: str
) -> None:
    discrete = tuple(replace(process, industry_type="discrete") for process in register.processes)
    before = Register(register.equipment, discrete)
    better = tuple(
        replace(machine, **MONOTONE[metric]) if number == at else machine  # type: ignore[arg-type]
        for number, machine in enumerate(register.equipment)
    )
    old, new = (
        METRICS[metric](Assessment(each, live)).value
        for each in (before, Register(better, discrete))
    )
    assert (old is None) == (new is None)
    if old is not None:
        assert new is not None
        assert new >= old


@few
@given(registers, lives, st.sampled_from(DEVICES), st.sampled_from(sorted(METRICS)))
def test_better_coverage_never_lowers_effective_networking(
    register: Register, live: LiveEvidence, device: str, metric: str
) -> None:
    if device not in live.devices or not metric.endswith("effective"):
        return
    fact = replace(live.devices[device], coverage=Fraction(1), last_good_age_s=Fraction(0))
    better = replace(live, devices={**live.devices, device: fact})
    old, new = (METRICS[metric](Assessment(register, each)).value for each in (live, better))
    assert (old is None and new is None) or (old is not None and new is not None and new >= old)


@few
@given(registers, lives, machines)
def test_machines_out_of_scope_or_not_in_use_change_nothing(
    register: Register, live: LiveEvidence, machine: Equipment
) -> None:
    out = replace(machine, in_scope=False, gateway_device="")
    scrapped = replace(machine, equipment_id=machine.equipment_id + "s", status="scrapped")
    more = Register((*register.equipment, out, scrapped), register.processes)
    old, new = compute(Assessment(register, live)), compute(Assessment(more, live))
    assert {metric: result.value for metric, result in old.items()} == {
        k: result.value for k, result in new.items()
    }


@given(st.fractions(0, 1, max_denominator=10_000))
def test_percent_is_rounded_half_up_from_the_exact_fraction(value: Fraction) -> None:
    shown = percent(value)
    assert shown is not None
    exact = Fraction(Decimal(str(shown)))
    assert -Fraction(1, 200) < value * 100 - exact <= Fraction(
        1, 200
    ) or value * 100 - exact == -Fraction(1, 200)


def test_percent_rounds_a_tie_up() -> None:
    assert percent(Fraction(12345, 1_000_000)) == 1.23
    assert percent(Fraction(1235, 100_000)) == 1.24
    assert percent(Fraction(1, 80_000) * 4) == 0.01
