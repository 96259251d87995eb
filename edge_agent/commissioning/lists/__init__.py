"""Point lists (点表): the tags of devices as a spreadsheet, out of a configuration and into one."""
