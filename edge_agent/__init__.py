"""Shop-floor edge agent: connectors read, readings become durable, metrics become evidence."""
