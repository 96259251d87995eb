"""What the values are now, and what they were: the functions behind `read`, `history` and a later
HTTP interface."""
