"""The whole way of a value, walked from the file to the store: what is well, and what to do first
where it is not."""
