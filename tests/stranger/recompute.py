"""Headline figures of an evidence pack, from its README alone. Usage: python recompute.py PACK -> JSON on stdout."""

import csv
import json
import sys
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

pack = Path(sys.argv[1])
DAY = 86_400 * 10**9


def table(name):
    return list(csv.DictReader(open(pack / name, encoding="utf-8-sig", newline="")))


options = json.loads((pack / "options.json").read_text())
start, end = options["start_ns"], options["end_ns"]
machines = [m for m in table("register.csv") if m["in_scope"] == "Y" and m["status"] == "in_use"]
in_use = [m["gateway_device"] for m in table("register.csv") if m["status"] == "in_use"]
devices = {d["device"] for d in table("facts/devices.csv")}
first = {row["device"]: int(row["t_ns"]) for row in table("facts/first_good.csv")}
health, states, counters = {}, {}, {}
for row in table("facts/health_minutes.csv"):
    health.setdefault(row["device"], []).append(row)
for row in table("facts/states.csv"):
    states.setdefault(row["device"], []).append((int(row["t_ns"]), row))
for row in table("facts/counters.csv"):
    counters.setdefault((row["device"], row["role"]), []).append(row)
plan = {}
for row in table("facts/plan.csv"):
    plan.setdefault(row["schedule"], []).append((int(row["t_ns"]), row["plan"]))


def nc(m):
    return m["control_class"] == "cnc" or (options["robot_is_nc"] and m["control_class"] == "robot")


def shifts_of(m, since):  # scheduled time of a machine from `since` on, as spans
    rows = plan.get(m["schedule_id"], [])
    spans = [
        (max(t, since), min(after, end)) for (t, what), (after, _) in pairwise([*rows, (end, "")]) if what == "shift"
    ]
    return [(a, b) for a, b in spans if a < b]


def networked(m):
    d = m["gateway_device"]
    if m["networked_declared"] != "Y" or d not in devices or in_use.count(d) != 1 or d not in first:
        return False
    rows = [r for r in health.get(d, []) if int(r["end_ns"]) > end - 30 * DAY]
    good = [int(r["last_good_ns"]) for r in rows if r["last_good_ns"]]
    since = max(first[d], end - 30 * DAY)
    if spans := shifts_of(m, since):
        rows = [r for r in rows if any(a <= int(r["end_ns"]) - 30 * 10**9 < b for a, b in spans)]
    spans = spans or [(since, end)]
    covered = sum(Fraction(r["covered_s"]) for r in rows) / Fraction(sum(b - a for a, b in spans), 10**9)
    return bool(good) and end - max(good) <= 7 * DAY and min(covered, 1) >= Fraction(9, 10)


def times(m):  # APT and PBT in ns
    cuts, apt, pbt = states[m["gateway_device"]], 0, 0
    shifts = plan.get(m["schedule_id"], [(0, "shift")])
    edges = sorted({start, end, *(t for t, _ in [*cuts, *shifts] if start < t < end)})
    for a, b in pairwise(edges):
        state = [row for t, row in cuts if t <= a][-1]
        if [what for t, what in shifts if t <= a][-1] == "shift":
            pbt += b - a
            apt += (b - a) * (state["item_state"] == "3" and state["operation_mode"] in ("0", "3"))
    return apt, pbt


def counted(device, role):
    rows = counters.get((device, role))
    if rows is None:
        return None
    total = Fraction(0)
    for old, new in pairwise(rows):
        before, after = Fraction(old["reading"]), Fraction(new["reading"])
        step, wrap = after - before, int(new["modulus"] or 0)
        if step < 0:
            step = step + wrap if 0 < step + wrap <= wrap // 16 else after if 0 <= after <= before / 2 else 0
        t0, t1 = int(old["t_ns"]), int(new["t_ns"])
        total += step * Fraction(new["ratio"]) * Fraction(max(0, min(end, t1) - max(start, t0)), t1 - t0)
    return total


figures = {"M-03": Fraction(sum(m["digital"] == "Y" for m in machines), len(machines))}
figures["M-04a-effective"] = Fraction(sum(map(networked, machines)), len(machines))
keys = [p["process_id"] for p in table("processes.csv") if p["is_key"] == "Y"]
of = {p: [m for m in machines if m["process_id"] == p] for p in keys}
figures["M-01-prorata"] = sum((Fraction(sum(map(nc, ms)), len(ms)) for ms in of.values() if ms), Fraction(0)) / len(
    keys
)
for m in machines:
    if m["gateway_device"] in states:
        (apt, pbt), d = times(m), m["gateway_device"]
        if pbt and any(row["item_state"] != "0" for t, row in states[d]):
            figures["M-11@" + m["equipment_id"]] = Fraction(apt, pbt)
        produced, good, scrap = (counted(d, role) for role in ("produced", "good", "scrap"))
        good = produced - scrap if good is None and None not in (produced, scrap) else good
        if good is not None and m["nominal_cycle_s"] and pbt and "M-11@" + m["equipment_id"] in figures:
            figures["M-14@" + m["equipment_id"]] = Fraction(m["nominal_cycle_s"]) * good / Fraction(pbt, 10**9)
print(json.dumps({key: str(value) for key, value in figures.items()}))
