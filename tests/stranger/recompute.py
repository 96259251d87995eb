"""Every figure of an evidence pack, from its README alone. Usage: python recompute.py PACK -> JSON
on stdout."""

import csv
import io
import json
import re
import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from datetime import datetime
from fractions import Fraction
from functools import cache
from itertools import accumulate, pairwise
from math import ceil, floor
from pathlib import Path
from zoneinfo import ZoneInfo

pack = Path(sys.argv[1])
S, DAY = 10**9, 86_400 * 10**9
PBT = {"APT", "ASUT", "ADET", "ADOT"}
CONTROLLED = {"cnc", "robot", "plc", "dcs", "pcs"}
CONTROL = {"discrete": {"cnc"}, "process": {"plc", "dcs", "pcs"}}
LINKS = {"生产管控", "质量管理", "设备管理", "安全生产", "能耗管理"}


def table(name, *by):  # the rows; or, by columns, the lists of rows that have the same in these
    text = io.StringIO((pack / name).read_bytes().decode("utf-8-sig"), newline="")
    rows, found = list(csv.DictReader(text)), {}
    for row in rows if by else ():
        found.setdefault(tuple(row[column] for column in by), []).append(row)
    return found if by else rows


def ratio(part, whole):
    return None if part is None or not whole else Fraction(part) / Fraction(whole)


def share(part, whole):
    return ratio(sum(map(part, whole)), len(whole))


options = json.loads((pack / "options.json").read_text(encoding="utf-8"))
start, end, until = options["start_ns"], options["end_ns"], options["states_until_ns"]
zone, within_ns = ZoneInfo(options["timezone"]), Fraction(options["change_within_h"]) * 3600 * S
processes = {p["process_id"]: p for p in table("processes.csv")}
kinds = {row["kind"]: row for row in table("kinds.csv")}


def midnight(day, otherwise):
    return (
        int(datetime.fromisoformat(day).replace(tzinfo=zone).timestamp()) * S if day else otherwise
    )


def service(m):  # from, to
    if m["status"] != "in_use" and not m["retired_on"]:
        return end, start
    return midnight(m["commissioned"], start), midnight(m["retired_on"], end)


def span(m):
    since, until = service(m)
    return max(since, start), min(until, end)


def linked_to(m):  # devices, the primary one first
    return [d for d in m["gateway_device"].split(";") if d]


def served(m):  # processes
    text, found = m["process_id"], []
    for part in [text] if text in processes else re.split(r"[;,、|\n]", text):
        finer = [each for each in re.split(r"[/+\s]+", part.strip()) if each]
        found += (
            finer
            if part.strip() not in processes and all(f in processes for f in finer)
            else [part.strip()]
        )
    return {p for p in found if p}


rows = sorted(table("register.csv"), key=lambda m: m["equipment_id"])
in_use = [m for m in rows if span(m)[0] < span(m)[1]]
standing = [m for m in in_use if service(m)[0] < end <= service(m)[1]]
machines, working = ([m for m in each if m["in_scope"] == "Y"] for each in (standing, in_use))
devices = {row["device"]: row for row in table("facts/devices.csv")}
first = {
    row["device"]: int(row["t_ns"])
    for row in table("facts/first_good.csv")
    if int(row["t_ns"]) <= end
}
health, states = table("facts/health_minutes.csv", "device"), table("facts/states.csv", "device")
counters, plans = table("facts/counters.csv", "device", "role"), table("facts/plan.csv", "schedule")
events = table("facts/counter_events.csv", "device", "role")
silences = {key: [r for r in rows if r["kind"] == "unknown_since"] for key, rows in events.items()}
of_another_unit = {key for key, rows in events.items() if any(r["kind"] == "unit" for r in rows)}

stored = {row["device"]: row for row in table("facts/stored.csv")}


def one_at_a_time(meter):  # whether it is the meter of machines, of one at a time
    spans = sorted(span(m) for m in in_use if m["meter_id"] == meter != "")
    return bool(spans) and all(b <= c for (_, b), (c, _) in pairwise(spans))


def own(m):  # the device of a machine
    d, (a, b) = next(iter(linked_to(m)), None), span(m)
    spans = [span(o) for o in in_use if o is not m and linked_to(o)[:1] == [d]]
    return d if d in devices and not any(a < y and x < b for x, y in spans) else None


# --- what is collected: scheduled time, coverage, readings


def within(spans, since, until):
    return sum(max(0, min(b, until) - max(a, since)) for a, b in spans)


def scheduled(device, shifts_alone=False):  # spans
    rows = [m["schedule_id"] for m in standing if device in linked_to(m)]
    if shifts_alone and (not plans or len(rows) != 1):
        return [(0, end)]
    rows = (
        [(int(r["t_ns"]), r["plan"]) for r in plans.get((rows[0],), [])] if len(rows) == 1 else []
    )
    spans = [(a, b) for (a, what), (b, _) in pairwise([*rows, (end, "")]) if what == "shift"]
    usual = within(spans, max(first.get(device, 0), end - 30 * DAY), end)
    return spans if usual or shifts_alone else [(0, end)]


def minutes(device, since, spans):
    rows = [r for r in health.get((device,), []) if since < int(r["end_ns"]) <= end]
    return [r for r in rows if any(a <= int(r["end_ns"]) - 30 * S < b for a, b in spans)]


def total(rows, column):
    return sum((Fraction(row[column]) for row in rows), Fraction(0))


def last_good(device):
    last = [
        int(r["last_good_ns"])
        for r in minutes(device, end - 30 * DAY, [(0, end)])
        if r["last_good_ns"]
    ]
    return max(last, default=None)


def contradicted(device):  # health speaks of readings, and nothing is stored
    return (
        device in stored and not stored[device]["last_sample_ns"] and last_good(device) is not None
    )


def alive(device):
    change = stored[device]["last_change_ns"] if device in stored else end
    if change == "":
        since = max(first.get(device, 0), end - 30 * DAY)
        return device in first and within(scheduled(device, True), since, end) < min(
            within_ns, 3600 * S
        )
    return within(scheduled(device, True), int(change), end) < within_ns


def fresh(device):
    last = last_good(device)
    return last is not None and not contradicted(device) and end - last <= 7 * DAY and alive(device)


def networked(m):
    d = own(m)
    if d is None or d not in first or m["networked_declared"] != "Y" or not fresh(d):
        return False
    spans = scheduled(d)
    long = Fraction(within(spans, max(first[d], end - 30 * DAY), end), S)
    return long > 0 and total(minutes(d, end - 30 * DAY, spans), "covered_s") / long >= Fraction(
        9, 10
    )


def recent(device):  # online and scheduled seconds, good and expected readings of the window
    spans = scheduled(device)
    rows, elapsed = (
        minutes(device, start, spans),
        Fraction(within(spans, max(first.get(device, 0), start), end), S),
    )
    told, good = total(rows, "scheduled_s"), total(rows, "good")
    elapsed = elapsed if device in first else min(elapsed, told)
    r = good + total(rows, "bad")
    expected = max(r, round(r * elapsed / told)) if told else r
    if contradicted(device):
        return 0, elapsed, 0, expected
    return min(elapsed, total(rows, "covered_s")), elapsed, good, expected


# --- counters and energy


@cache
def curve(key):  # moments, and what (device, role) has counted until each
    rows = {int(row["t_ns"]): row for row in reversed(counters[key])}  # of one moment the first
    times, amounts = sorted(rows), [Fraction(0)]
    for old, new in pairwise(rows[t] for t in times):
        before, after, wrap = (
            Fraction(old["reading"]),
            Fraction(new["reading"]),
            Fraction(new["modulus"] or 0),
        )
        step = after - before
        if old["epoch"] != new["epoch"]:
            step = 0
        elif step < 0 < step + wrap <= wrap / 16:
            step += wrap
        elif step < 0:
            step = (
                after if key[1] in ("produced", "good", "scrap") and 0 <= after <= before / 2 else 0
            )
        amounts.append(amounts[-1] + step)
    return times, amounts


def counted(key, spans=((start, end),)):  # pieces or kWh
    if (
        key not in counters
        or key in of_another_unit
        or any(int(row["t_ns"]) < start for row in silences.get(key, []))
    ):
        return None
    (times, amounts), whole = curve(key), Fraction(0)
    for t, sign in ((t, sign) for span in spans for t, sign in zip(span, (-1, 1), strict=True)):
        i = bisect_right(times, t)
        whole += sign * amounts[max(0, i - 1)]
        if 0 < i < len(times) and t > times[i - 1]:
            share = (amounts[i] - amounts[i - 1]) * Fraction(
                t - times[i - 1], times[i] - times[i - 1]
            )
            whole += sign * Fraction(floor(share * 10**12 + Fraction(1, 2)), 10**12)
    return whole * Fraction(counters[key][0]["ratio"])


def parts(d, spans=((start, end),)):  # produced, good
    produced, good, scrap = (counted((d, role), spans) for role in ("produced", "good", "scrap"))
    return produced, produced - scrap if good is None and None not in (produced, scrap) else good


def whole_good(m):  # not known where there was more scrap than parts
    gq = parts(own(m), (span(m),))[1]
    return None if gq is not None and gq < 0 else gq


def metered(m):  # the counter of a machine's energy
    alone = m["meter_id"] if one_at_a_time(m["meter_id"]) else None
    keys = [(own(m), "energy"), (alone, "energy"), (own(m), "integrated_power")]
    return next((key for key in keys if key in counters), None)


def line_meters(line):
    rows = [m for m in in_use if m["category"] == "meter" and m["line"] == line]
    own_meters = [m for m in rows if linked_to(m) and not one_at_a_time(linked_to(m)[0])]
    found = [((linked_to(m)[0], "energy"), (span(m),)) for m in own_meters]
    found = [each for each in found if each[0] in counters]
    own_machines = [m for m in working if m["line"] == line and metered(m)]
    if not found:
        return [(metered(m), (span(m),)) for m in own_machines]
    there = sorted(
        (max(s[0], min(int(row["t_ns"]) for row in counters[key])), s[1]) for key, (s,) in found
    )
    until, gaps = start, []
    for since, over in [*there, (end, end)]:
        gaps += [(until, since)] if since > until else []
        until = max(until, over)
    for since, over in gaps:  # the machines stand in while no meter was there
        spans = [(m, max(since, span(m)[0]), min(over, span(m)[1])) for m in own_machines]
        found += [(metered(m), ((a, b),)) for m, a, b in spans if a < b]
    return found


def kwh(metering):  # of counters, each in the time its row was in service
    if any(each[0] in of_another_unit for each in metering):
        return None
    known = [amount for each in metering if (amount := counted(*each)) is not None]
    return sum(known) if known else None


# --- time


def at(rows, t):  # what has begun last until t
    return rows[bisect_right(rows, t, key=lambda row: row[0]) - 1][1]


def spans_of(m):  # (from, to, item, mode, bucket, part) since the first state
    rows = [(int(row["t_ns"]), row) for row in states[own(m),]]
    plan = [
        (0, "off"),
        *((int(row["t_ns"]), row["plan"]) for row in plans.get((m["schedule_id"],), [])),
    ]
    plan = plan if plans else [(0, "shift")]
    edges = sorted({end, until, *(t for t, _ in [*rows, *plan] if rows[0][0] <= t < until)})
    for a, b in pairwise(edges):
        row, ordered = at(rows, a), rows[0][1]["order"] == "" or at(rows, a)["order"] == "Y"
        item, mode = row["item_state"], row["operation_mode"]
        yield a, b, item, mode, *bucket(item, mode, ordered, at(plan, a))


def bucket(item, mode, ordered, what):
    if what != "shift":
        return "not busy", "planned" if what == "maintenance" and item != "3" else ""
    if item == "0":
        return "ADET" if ordered else "ADOT", "unknown"
    if mode in ("1", "2"):
        return ("ADET", "maintenance") if mode == "1" else ("ASUT", "")
    if item == "3" or not ordered:
        return "APT" if item == "3" else "ADOT", ""
    return "ADET", "stopped" if item == "1" else ""


def joined(spans, start, end):  # what of them lies between, adjoining ones as one
    found = []
    for a, b in ((max(a, start), min(b, end)) for a, b in spans):
        if a < b:
            found[-1:] = (
                [(found[-1][0], b)] if found and found[-1][1] == a else [*found[-1:], (a, b)]
            )
    return found


def failures(spans):  # the places of the spans of each
    found, stopped, down, up = [], [], 0, 0
    for i, (a, b, item, mode, _, part) in enumerate(spans):
        if item == "1":
            if up >= 30 * S:
                found, stopped, down = [*found, (stopped, down)], [], 0
            down, up = down + b - a, 0
            stopped += [i] if part == "stopped" else []
        elif item != "0" and mode != "1":
            up += b - a
    return [places for places, long in [*found, (stopped, down)] if places and long >= 30 * S]


def worked(m):  # metric -> (numerator, denominator)
    start, end = span(m)
    spans, time, mending = list(spans_of(m)), Counter(), False
    failed = failures(spans)
    failing, repair, last = {i: n for n, places in enumerate(failed) for i in places}, Counter(), 0
    for i, (a, b, item, _, where, part) in enumerate(spans):
        mending = i in failing or (
            mending and (part == "maintenance" or not (item == "3" or where == "ASUT"))
        )
        part = (
            "failure"
            if i in failing
            else "corrective"
            if part == "maintenance" and mending
            else part
        )
        last = failing.get(i, last)
        repair[last] += b - a if part in ("failure", "corrective") else 0
        time[where] += max(0, min(b, end) - max(a, start))
        time[part or "-"] += max(0, min(b, end) - max(a, start))
    apt, asut, adet, adot = (Fraction(time[name], S) for name in ("APT", "ASUT", "ADET", "ADOT"))
    unknown, cmt, pmt = (
        Fraction(sum(time[each] for each in names), S)
        for names in (["unknown"], ["corrective"], ["maintenance", "planned"])
    )
    own_failures = [n for n, places in enumerate(failed) if start <= spans[places[0]][0] < end]
    down, count = Fraction(sum(repair[n] for n in own_failures), S), len(own_failures)
    pbt, aupt = apt + asut + adet + adot, apt + asut
    aubt = pbt - adot if states[own(m),][0]["order"] else None
    pq, gq = parts(
        own(m), joined(((a, b) for a, b, _, _, where, _ in spans if where in PBT), start, end)
    )
    gq = None if gq is not None and gq < 0 else gq
    pru = Fraction(m["nominal_cycle_s"] or 0) or None
    made, good = (None if pru is None or n is None else pru * n for n in (pq, gq))
    nee = None if good is None else ratio(aupt * good, pbt * apt)
    pairs = {
        "M-11": (apt, pbt),
        "M-13": (made, apt),
        "M-14": (None if not apt and good else good, pbt),
    }
    pairs |= {"M-15": (None if nee is None else nee * pbt, pbt)}
    pairs |= {"M-16-allocation": (aubt, pbt), "M-16-utilisation": (apt, aubt)}
    pairs |= {"M-16-technical": (apt, apt + adet), "M-16-setup": (asut, aupt)}
    pairs |= {
        "M-17-mtbf": (aupt, count),
        "M-17-mttr": (down, count),
        "M-17-corrective": (cmt, cmt + pmt),
    }
    if pbt and pbt == unknown:
        pairs = dict.fromkeys(pairs, (None, None))
    idle = [
        (max(a, start), min(b, end))
        for a, b, item, *_ in spans
        if item == "2" and b > start and a < end
    ]
    used = metered(m)
    return pairs | {"M-12": (gq, pq), "M-20": (counted(used, idle), counted(used, (span(m),)))}


# --- the figures


def by_kind(m):
    named = [("industrial_robot", m["is_robot"] == "Y"), (m["machine_kind"], True)]
    rows = [
        kinds[k]
        for k, said in named
        if said and k in kinds and (k != "industrial_robot" or options["robot_is_nc"])
    ]
    return m["control_class"] in CONTROLLED and any(row["nc"] == "Y" for row in rows)


def nc(m, process):
    kind = processes[process]["industry_type"]
    robot = options["robot_is_nc"] and m["control_class"] == "robot"
    return m["control_class"] in CONTROL[kind] or (kind == "discrete" and (robot or by_kind(m)))


def smart(m):
    return m["digital"] == "Y" and m["control_class"] in {"cnc", "robot", "plc", "dcs", "pcs"}


def rank(part):  # of all delays, in seconds
    late = sorted(
        (int(row["late_ms"]), int(row["messages"])) for row in table("facts/lateness.csv")
    )
    sums = list(accumulate(n for _, n in late))
    return Fraction(late[bisect_left(sums, ceil(part * sums[-1]))][0], 1000) if late else None


unseen = {
    "M-04a-effective",
    "M-04b-effective",
    "M-04c-effective",
    "M-04d",
    "M-05",
    "M-05-process",
    "M-06",
    "M-07",
}
if any(minutes(d, min(start, end - 30 * DAY), [(0, end)]) for d in devices):
    unseen = set()
keys = [p for p, row in processes.items() if row["is_key"] == "Y"]
nc_shares = [
    share(lambda m, p=p: nc(m, p), [m for m in machines if p in served(m)]) or Fraction(0)
    for p in keys
]
digital, key_machines = ([m for m in machines if test(m)] for test in (
    lambda m: m["digital"] == "Y", lambda m: served(m) & {*keys}))  # fmt: skip
effective, robots = (
    [m for m in machines if networked(m)],
    [m for m in machines if m["is_robot"] == "Y"],
)
linked = [recent(d) for d in {d for m in machines for d in linked_to(m)} & devices.keys()]
online, elapsed, good, expected = (sum(each[i] for each in linked) for i in range(4))
delivering = {p for m in machines if own(m) and fresh(own(m)) for p in served(m)}
links = {
    link for d, row in devices.items() if fresh(d) for link in row["business_links"].split(";")
} & LINKS
cost = {m["equipment_id"]: Fraction(m["purchase_cny"]) for m in machines if m["purchase_cny"]}
figures = {
    "M-01-strict": share(lambda each: each == 1, nc_shares),
    "M-01-prorata": share(lambda each: each, nc_shares),
    "M-01-any": share(lambda each: each > 0, nc_shares),
    "M-02": share(lambda m: all(nc(m, p) for p in served(m) & {*keys}), key_machines),
    "M-03": ratio(len(digital), len(machines)),
    "M-04d": ratio(online, elapsed),
    "M-05": ratio(good, expected),
    "M-05-process": share(lambda p: p in delivering, processes),
    "M-06": Fraction(len(links), 14)
    if any(row["business_links"] for row in devices.values())
    else None,
    "M-07": share(
        lambda m: (
            devices[own(m)]["normalised"] == "Y"
            and m["interface"] in {"opc_ua", "modbus_tcp", "modbus_rtu", "mtconnect"}
        ),
        effective,
    ),
    "M-08-count": share(smart, machines),
    "M-08-value": ratio(
        sum(cost[m["equipment_id"]] for m in machines if smart(m)), sum(cost.values())
    )
    if len(cost) == len(machines)
    else None,
    "M-09": share(lambda m: m["brand_origin"] in ("domestic", "local"), robots),
    "M-10": share(lambda m: m["brand_origin"] == "local", robots),
    "M-21-p50": rank(Fraction(1, 2)),
    "M-21-p95": rank(Fraction(95, 100)),
}
for name, whole in ("a", machines), ("b", digital), ("c", key_machines):
    figures[f"M-04{name}-declared"] = share(lambda m: m["networked_declared"] == "Y", whole)
    figures[f"M-04{name}-effective"] = share(lambda m: m in effective, whole)
figures |= dict.fromkeys(unseen)

work = {m["equipment_id"]: worked(m) for m in working if own(m) and (own(m),) in states}
for m in working:
    name = m["equipment_id"]
    figures |= {f"{metric}@{name}": ratio(*pair) for metric, pair in work.get(name, {}).items()}
    if name in work or metered(m):  # also of a silent counter
        gq = whole_good(m) if name in work else None
        figures[f"M-18@{name}"] = ratio(counted(metered(m), (span(m),)), gq)
        figures.setdefault(f"M-20@{name}", None)
ROW = ["M-11", "M-13", "M-12", "M-14"]
summed = ["M-15", "M-16-allocation", "M-16-utilisation", "M-16-technical",
          "M-16-setup", "M-17-mtbf", "M-17-mttr", "M-17-corrective", "M-20"]  # fmt: skip
scopes = {
    f"@{level}:{m[level]}": (level, m[level])
    for m in working
    for level in ("line", "workshop")
    if m[level]
}
for scope, (level, value) in {**scopes, "": ("", "")}.items():
    inside = [
        work[m["equipment_id"]]
        for m in working
        if m["equipment_id"] in work and m.get(level, "") == value
    ]
    for metric, told in [(each, each) for each in summed] + [
        ("M-11", "M-11-all"),
        ("M-12", "M-12-all"),
    ]:
        pairs = [pair[metric] for pair in inside if None not in pair[metric]]
        figures[told + scope] = ratio(sum(a for a, _ in pairs), sum(b for _, b in pairs))
    whole = [pair for pair in inside if all(None not in pair[metric] for metric in ROW)]
    row = whole or [pair for pair in inside if None not in pair["M-14"]] or inside
    for metric in ROW:
        pairs = [pair[metric] for pair in row if None not in pair[metric]]
        if whole and metric == "M-12":
            pairs = [(pair["M-14"][0], pair["M-13"][0]) for pair in row]
        figures[metric + scope] = ratio(sum(a for a, _ in pairs), sum(b for _, b in pairs))

per_kwh, site, site_counted, site_good = Fraction(options["kgce_per_kwh"]) / 1000, [], [], []
for line in sorted({m["line"] for m in working if m["line"]}):
    used = line_meters(line)
    last = [m for m in working if m["line"] == line and m["category"] == "inspection"]
    gq = whole_good(last[0]) if len(last) == 1 and last[0]["equipment_id"] in work else None
    figures[f"M-18@line:{line}"] = ratio(kwh(used), gq)
    figures[f"M-19@line:{line}"] = None if kwh(used) is None else kwh(used) * per_kwh
    site += used
    if gq is not None and kwh(used) is not None:
        site_counted, site_good = site_counted + used, [*site_good, gq]
figures["M-18"] = ratio(kwh(site_counted), sum(site_good))
figures["M-19"] = None if kwh(site) is None else kwh(site) * per_kwh
print(json.dumps({key: None if value is None else str(value) for key, value in figures.items()}))
