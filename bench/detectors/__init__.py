"""The bridge to mmdet: configurations, scaling, checkpoints. Nothing else imports mmdet."""
