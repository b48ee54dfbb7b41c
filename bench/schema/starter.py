"""The suite that `init` writes for a user's data: full precision, and LSQ at INT8 and INT4, at two small tiers."""

import json
from typing import Any

_TEXT = """\
# Written by `qdet-bench init`; yours to change. Fields: docs/suite-reference.md.
title: {title}

policies:
  all:
    layers: [conv]
    readers: all
    first: [backbone.conv1]
    last: [bbox_head.retina_cls, bbox_head.retina_reg]
    parts: [backbone, neck, bbox_head]
    unsigned_after: [relu, relu6, max_pool2d]

methods:
  lsq:
    range_test: paper
    grad_scale: batch
    weights: {{kind: lsq}}
    activations: {{kind: ema_mse, p: 2.0, ema: 0.9}}

defaults:
  row: {{detector: retinanet-r18}}

rows:
  - {{id: fp, label: FP, bits: "32/32", recipe: fp}}
  - {{id: fp-ft, label: FP+ft, bits: "32/32", recipe: ft, start: fp}}
  - {{id: lsq-w8a8, label: LSQ, bits: "8/8", recipe: ft, start: fp, policy: all, methods: [lsq]}}
  - {{id: lsq-w4a4, label: LSQ, bits: "4/4", recipe: ft, start: fp, policy: all, methods: [lsq]}}

tiers:
  smoke:   # a few steps, to see that all parts work; its numbers mean nothing
    data: {data}
    metric: {{variant: coco}}
    detectors:
      retinanet-r18:
        input: {{size: [64, 64], pad_divisor: 32}}
        test: {{batch: 8, score_threshold: 0.0, nms_iou: 0.5, max_per_image: 20}}
        init: {{kind: scratch}}
        width: 8
        neck_width: 8
        head_convs: 4
        anchor_scale: 2.0
    calibration: {{images: {few}, batch: {few}}}
    recipes:
      fp:
        unit: step
        length: 4
        batch: 4
        optimizer: {{kind: adamw, lr: 0.001, weight_decay: 0.01}}
        decay: {{kind: cosine}}
      ft:
        unit: step
        length: 4
        batch: 4
        optimizer: {{kind: sgd, lr: 0.001, momentum: 0.9, weight_decay: 0.0001}}
        decay: {{kind: step, milestones: [2, 3]}}
  mini:   # a small model, trained for minutes on a CPU; rows may be compared with each other
    data: {data}
    metric: {{variant: coco}}
    detectors:
      retinanet-r18:
        input: {{size: [256, 256], pad_divisor: 32}}
        test: {{batch: 8, score_threshold: 0.05, nms_iou: 0.5}}
        init: {{kind: scratch}}
        width: 16
        neck_width: 32
        head_convs: 4
        head_init_std: 0.08
        anchor_scale: 2.0
    calibration: {{images: {some}, batch: 8}}
    recipes:
      fp:
        unit: step
        length: 1200
        batch: 8
        optimizer: {{kind: adamw, lr: 0.002, weight_decay: 0.01, norm_decay: 0.0}}
        decay: {{kind: cosine}}
        warmup: {{kind: linear, length: 100, ratio: 0.01}}
        clip: 10.0
        augment: {{flip: 0.5}}
      ft:
        unit: step
        length: 200
        batch: 8
        optimizer: {{kind: sgd, lr: 0.01, momentum: 0.9, weight_decay: 0.0001}}
        decay: {{kind: step, milestones: [100, 175]}}
        warmup: {{kind: exponential, length: 12, ratio: 0.001}}
        clip: 6.0
        augment: {{flip: 0.5}}
"""


def starter(title: str, data: dict[str, Any], images: int) -> str:
    """The text of the suite; `data` as a tier has it, `images` the number of those to train on."""
    return _TEXT.format(
        title=json.dumps(title),
        data=json.dumps(data, ensure_ascii=False),
        few=min(8, images),
        some=min(64, images),
    )
