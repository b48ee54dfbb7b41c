"""The scheduler of jobs and their worker processes."""
