"""Protocol connectors: each package speaks one protocol and sees nothing of the agent but
`edge_agent.sdk`."""
