"""What the stores behind HTTP share: lines, requests, InfluxQL, and the sqlite file beside them."""
