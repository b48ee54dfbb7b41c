"""A right minimal suite as text, in the whole form and in the short one, and changes to it."""

from pathlib import Path

RIGHT = """\
title: A table
policies:
  all:
    layers: [conv]
    first: [backbone.conv1]
    last: [bbox_head.retina_cls]
    parts: [backbone, neck, bbox_head]
rows:
  - id: fp
    label: FP
    detector: retinanet-r18
    bits: 32/32
    recipe: fp
  - id: lsq
    label: LSQ
    detector: retinanet-r18
    bits: 4/4
    recipe: qat
    start: fp
    policy: all
    methods:
      - name: lsq
        options:
          range_test: paper
          grad_scale: batch
          weights: {kind: minmax}
          activations: {kind: ema_mse, p: 2.0, ema: 0.9}
    pins:
      mini: {weights: 38, activations: 70, edge: 13, unsigned: 40}
tiers:
  mini:
    data:
      kind: shapes-voc
      side: 64
      images: {train: 16, test: 8}
      difficult: crowd
    metric: {variant: coco, area_side: 64}
    detectors:
      retinanet-r18:
        input: {size: [64, 64]}
        test: {batch: 8, score_threshold: 0.0, nms_iou: 0.5}
        init: {kind: scratch}
    calibration: {images: 8, batch: 4}
    recipes:
      fp:
        unit: step
        length: 4
        batch: 4
        optimizer: {kind: adamw, lr: 0.001, weight_decay: 0.01}
        decay: {kind: cosine}
        cost_s: 120
      qat:
        unit: step
        length: 40
        batch: 4
        optimizer:
          kind: sgd
          lr: 0.01
          weight_decay: 0.0001
          momentum: 0.9
        decay: {kind: step, milestones: [2, 3]}
        warmup: {kind: linear, length: 2, ratio: 0.001}
        cost_s: 60
    seeds: 3
"""

FP_ROW = RIGHT[RIGHT.index("  - id: fp\n") : RIGHT.index("  - id: lsq\n")]
LSQ_ROW = RIGHT[RIGHT.index("  - id: lsq\n") : RIGHT.index("tiers:\n")]
TIERS = RIGHT[RIGHT.index("tiers:\n") :]
SHORT = f"""\
title: A table
policies:
  all:
    layers: [conv]
    first: [backbone.conv1]
    last: [bbox_head.retina_cls]
    parts: [backbone, neck, bbox_head]
    pins: {{weights: 38, activations: 70, edge: 13, unsigned: 40}}
methods:
  lsq:
    range_test: paper
    grad_scale: batch
    weights: {{kind: minmax}}
    activations: {{kind: ema_mse, p: 2.0, ema: 0.9}}
defaults:
  row: {{detector: retinanet-r18}}
kinds:
  int4:
    bits: 4/4
    recipe: qat
    start: fp
    policy: all
rows:
  - id: fp
    label: FP
    bits: 32/32
    recipe: fp
  - id: lsq
    label: LSQ
    kind: int4
    methods: [lsq]
{TIERS}"""
"""The same suite."""


def changed(*changes: tuple[str, str], text: str = RIGHT) -> str:
    """The right suite with each first text, which must stand there once, replaced by the second."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def write_suite(root: Path, text: str | bytes = RIGHT, name: str = "x/y") -> Path:
    """Write a suite below `root/suites`."""
    path = root / "suites" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


PUBLISHED_FILE = """\
tables:
  - id: T-A
    title: T
    source: {paper: P, where: Table 1}
    metric: coco
    trust: paper
    rows:
      - {id: lsq-4, model: M, dataset: D, method: LSQ, bits: 4/4, metrics: {AP: 50.2}, gate: true}
"""
"""A file of published numbers with one row."""
