"""What a value costs: `./run bench`. CPU time of the agent's process per value that arrived at the
broker."""
