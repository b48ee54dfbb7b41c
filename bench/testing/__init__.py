"""The pytest plugin: rows, claims, published numbers and placement pins of suites as tests. Imports no torch."""
