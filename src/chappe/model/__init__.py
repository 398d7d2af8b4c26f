"""Plain frozen values: channel names and patterns, publications, positions, limits, errors and their codes.

Imports nothing else of chappe. No I/O, no await, no clock, no randomness: time and random bytes are arguments.
`error_codes` is generated from spec/errors.toml.
"""
