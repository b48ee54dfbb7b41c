"""The bridge to mmdet: configurations, scaling, checkpoints. Beside it only the engine uses mmdet."""
