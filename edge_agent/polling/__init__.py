"""The agent's clock: when each device is asked, and what happens when it does not answer."""
