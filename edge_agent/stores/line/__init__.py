"""VictoriaMetrics, and other stores that take line protocol."""
