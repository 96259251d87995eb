"""Simulated OPC UA devices on asyncua servers."""
