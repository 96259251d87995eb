"""The figures of a running store service: live facts, production by shift and day."""
