"""What tests share: real servers on free loopback ports, and a runner that tolerates no leftover
task."""
