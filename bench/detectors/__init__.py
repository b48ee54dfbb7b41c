"""The bridge to mmdet: configurations, scaling, checkpoints. The engine's runner and its pass on an empty batch use mmdet too."""
