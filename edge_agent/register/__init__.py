"""The equipment register (设备台账): files in, checked rows, files out. Nothing here knows a metric
or a gateway."""
