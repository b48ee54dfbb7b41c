"""How each family of detectors is scaled: functions that change mmdet's configuration in place."""
