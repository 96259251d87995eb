"""How people and programs ask a running agent or store service: control socket, HTTP pages,
Prometheus."""
