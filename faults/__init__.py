"""What was promised, under every fault that can be made on a plain Linux machine: `./run faults`.

Each row of the matrix starts the real programs (simulated PLCs, broker, `edge-agent run`,
`edge-agent serve`), does harm to them, and then compares two lists: what the agent's outbox
accepted, and what is in the store.
"""
