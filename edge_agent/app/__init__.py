"""The composition root: here, and only here, the parts are put together."""
