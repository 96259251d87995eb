"""The planner: every span covered, limits kept, none split, and the fewest requests that is
possible."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.modbus.plan import (
    AddressSpan,
    Knowledge,
    RequestLimits,
    RequestSpans,
    accepted,
    plan,
    refused,
)
from tests.support.exploration import examples

REGISTERS = st.builds(
    lambda start, size: AddressSpan("holding", start, start + size),
    st.integers(0, 30),
    st.integers(1, 5),
)
SPANS = st.lists(REGISTERS, min_size=1, max_size=6, unique=True)
LIMITS = st.builds(RequestLimits, registers=st.integers(5, 16), gap=st.integers(0, 8))
BARRIERS = st.sets(
    st.builds(lambda a, n: AddressSpan("holding", a, a + n), st.integers(0, 33), st.integers(1, 3)),
    max_size=3,
)


def hull(spans: list[AddressSpan]) -> tuple[int, int]:
    return min(s.start for s in spans), max(s.end for s in spans)


def allowed(spans: list[AddressSpan], limits: RequestLimits, known: Knowledge) -> bool:
    """Whether one request may read these spans: written down anew, register by register."""
    if len(spans) == 1:
        return True
    start, end = hull(spans)
    wanted = {a for s in spans for a in range(s.start, s.end)}
    gap = longest = 0
    for address in range(start, end):
        gap = 0 if address in wanted else gap + 1
        longest = max(longest, gap)
    crossed = any(set(range(b.start, b.end)) <= set(range(start, end)) for b in known.barriers)
    return end - start <= limits.registers and longest <= limits.gap and not crossed


def partitions(spans: list[AddressSpan]) -> Iterator[list[list[AddressSpan]]]:
    """All ways to put spans into requests."""
    if not spans:
        yield []
        return
    head, *rest = spans
    for groups in partitions(rest):
        yield [[head], *groups]
        for n in range(len(groups)):
            yield [*groups[:n], [head, *groups[n]], *groups[n + 1 :]]


@given(SPANS, LIMITS, BARRIERS)
@settings(max_examples=examples(400))
def test_as_few_requests_as_the_best_of_all_partitions(spans, limits, barriers):
    known = Knowledge(barriers=barriers)
    groups = plan(spans, limits, known)
    assert sorted(span for group in groups for span in group.spans) == sorted(spans)
    assert all(allowed(list(group.spans), limits, known) for group in groups)
    best = min(len(p) for p in partitions(spans) if all(allowed(g, limits, known) for g in p))
    assert len(groups) == best


@given(st.lists(st.builds(lambda t, a, n: AddressSpan(t, a, a + n), st.sampled_from(["coil", "discrete", "input", "holding"]),
                          st.integers(0, 65000), st.integers(1, 125)), max_size=60))  # fmt: skip
def test_tables_are_never_mixed_and_limits_hold(spans):
    limits = RequestLimits()
    groups = plan(spans, limits, Knowledge())
    assert {span for group in groups for span in group.spans} == set(spans)
    for group in groups:
        assert {span.table for span in group.spans} == {group.table}
        assert group.end - group.start <= limits.size(group.table)


@given(SPANS, LIMITS, st.sets(st.integers(0, 36), max_size=5), st.integers(2, 20))
def test_a_search_finds_all_that_a_device_gives_and_then_asks_for_nothing_in_vain(
    spans, limits, holes, most
):
    """Devices with holes, and with a limit of their own that nobody configured."""
    known = Knowledge()

    def refuses(group: RequestSpans) -> bool:
        return bool(holes & set(range(group.start, group.end))) or group.end - group.start > most

    readable = {s for s in spans if not refuses(RequestSpans((s,)))}
    for _ in range(20):
        waiting = plan(spans, limits, known)
        vain = 0
        got: set[AddressSpan] = set()
        while waiting:
            group = waiting.pop()
            if refuses(group):
                vain += 1
                waiting.extend(refused(group, 2, known))
            else:
                accepted(group, known)
                got.update(group.spans)
        assert got == readable
        if not vain:
            break
    else:
        raise AssertionError("the search does not come to an end")
    assert known.missing.keys() == set(spans) - readable


def test_one_thousand_floats_take_seventeen_requests():
    spans = [AddressSpan("holding", 2 * n, 2 * n + 2) for n in range(1000)]
    assert len(plan(spans, RequestLimits(), Knowledge())) == 17


def test_one_register_gaps_are_read_across():
    spans = [AddressSpan("holding", 2 * n, 2 * n + 1) for n in range(1000)]
    assert len(plan(spans, RequestLimits(), Knowledge())) == 16


def test_a_value_that_is_missing_is_found_again_when_it_appears():
    span, other = AddressSpan("holding", 0, 1), AddressSpan("holding", 1, 2)
    known = Knowledge()
    assert refused(RequestSpans((span,)), 2, known) == ()
    assert [g.spans for g in plan([span, other], RequestLimits(), known)] == [(other,)]
    assert accepted(RequestSpans((span,)), known)
    assert [g.spans for g in plan([span, other], RequestLimits(), known)] == [(span, other)]
