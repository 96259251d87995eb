"""A plant in one file: made while it runs, checked to the last byte, put up again elsewhere."""
