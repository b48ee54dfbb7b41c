"""The bridge to mmdet: configurations, scaling, checkpoints. Beside it only `engine` and `run` use mmdet."""
