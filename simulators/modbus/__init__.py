"""Simulated Modbus devices: memory image, protocol answers, framings, ports."""
