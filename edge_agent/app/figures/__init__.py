"""Production figures of the running store service: computed on schedule, published, answered
through the socket."""
