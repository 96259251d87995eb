"""Stores of third parties: a database of two tables (`stores/sdk.py`) as a whole store."""
