"""Where a window of a plant becomes figures; the running service, every report, snapshot and pack
go through here.

    store ──StoreFacts──▶ gather ──▶ Facts ──▶ Plant ──▶ figures ──▶ window_document (the service),
    report (documents)

`store_source` puts the questions to a store, `gather` turns the answers into `facts.Facts` (states,
counters, health by minute, calendar: all that figures rest on, and exactly what an evidence pack
holds), `plant.Plant` computes times, parts and energy of every machine from them, `figures` makes
results of these. `live_rates` are the rates of the moment (M-01 to M-10), `schedule` says which
shifts and days are due, `stored` reads what was kept of earlier windows. Times are integer
nanoseconds (Unix, UTC), energy is in kWh, amounts are exact fractions.
"""
