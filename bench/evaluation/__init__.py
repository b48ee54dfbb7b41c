"""COCO and VOC metrics from saved predictions. Imports no mmdet."""
