"""M-14 = M-11 x M-13 x M-12 at every level of any plant, exactly, and of the same machines."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.metrics.definitions import BY_ID
from edge_agent.metrics.result import MetricResult, Window
from edge_agent.metrics.rollup import ALL, FACTORS, ROW, scope_results
from edge_agent.production.figures import figures
from tests.support.any_plant import any_plant
from tests.support.exploration import examples


def machine(
    planned: int, run: int, made: int | None, good: int | None, cycle: int | None
) -> dict[str, MetricResult]:
    """The row of one machine from what it did, as `oee` makes it."""
    nominal = None if made is None or cycle is None else Fraction(made * cycle)
    worth = None if good is None or cycle is None or (good and not run) else Fraction(good * cycle)
    pairs = {
        "M-11": (Fraction(run), Fraction(planned)),
        "M-13": (nominal, Fraction(run)),
        "M-12": (
            None if good is None else Fraction(good),
            None if made is None else Fraction(made),
        ),
        "M-14": (worth, Fraction(planned)),
    }
    return {metric: MetricResult(BY_ID[metric], None, *pair) for metric, pair in pairs.items()}


MACHINES = st.lists(
    st.builds(
        machine,
        planned=st.integers(0, 480),
        run=st.integers(0, 480),
        made=st.none() | st.integers(0, 300),
        good=st.none() | st.integers(0, 300),
        cycle=st.none() | st.integers(1, 90),
    ),
    max_size=6,
)


@settings(max_examples=examples(200))
@given(MACHINES)
def test_the_row_of_any_machines_multiplies(machines: list[dict[str, MetricResult]]) -> None:
    rows = {f"EQ-{number}": results for number, results in enumerate(machines)}
    found = scope_results([*ROW, *ALL], rows, dict.fromkeys(rows, Fraction(1)), ["site"], Window())
    check(found)
    complete = [
        key
        for key, row in rows.items()
        if all(None not in (r.numerator, r.denominator) for r in row.values())
    ]
    if complete:
        assert all(found[metric].numerator_ids == tuple(complete) for metric in ROW)
    run, planned = (sum((getattr(row["M-11"], name) for row in rows.values()), Fraction(0))
                    for name in ("numerator", "denominator"))  # fmt: skip
    assert found["M-11-all"].value == (run / planned if planned else None), (
        "of all, whatever the row rests on"
    )


def check(found: dict[str, MetricResult], scope: str = "") -> bool:
    """Whether the row has all four values; and if so, that they multiply."""
    values = [found[metric + scope].value for metric in FACTORS]
    oee = found[f"M-14{scope}"].value
    if oee and None not in values:
        product = Fraction(1)
        for value in values:
            product *= value or Fraction(0)
        assert product == oee, scope
    return bool(oee) and None not in values


def test_the_rows_of_any_plant_multiply() -> None:
    """Whole plants, from facts to figures: machines, lines, workshops, the site. Most of them have
    rows."""
    rows = 0
    for seed in range(8):
        plant, options = any_plant(seed)
        found = figures(plant, options)
        for key in found:
            if key.startswith("M-14"):
                rows += check(found, key.removeprefix("M-14"))
    assert rows > 10
