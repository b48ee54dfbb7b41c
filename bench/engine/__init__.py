"""One job from end to end, and the scheduler that runs many in parallel processes."""
