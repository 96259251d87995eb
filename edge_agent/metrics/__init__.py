"""The equipment register, and metrics as pure functions of the register and of live facts. Nothing here does I/O
but the reading and writing of the register's own files; the application feeds the facts from the store."""
