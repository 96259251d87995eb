"""What simulated devices do: each behaviour advances by steps of simulated time and offers named
signals."""
