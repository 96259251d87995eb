"""Simulated machines that speak the real protocols on loopback; they know the wire, not the
agent."""
