"""Measure hubs and their peers: a load generator in C, servers to stand beside, tables and charts."""
