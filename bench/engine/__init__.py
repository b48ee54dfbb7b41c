"""One job from end to end, in this process."""
