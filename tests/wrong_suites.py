"""Wrong suite files: changes of a right one, each with the place and the words of its refusal."""

from suite_text import FP_ROW, LSQ_ROW, RIGHT, changed

from bench.schema.categories import known_categories
from bench.schema.data import ShapesVoc

MARK = "§"
"""Stands in a changed text where the message must point; taken out before the file is written."""

OPTIONS = "        options:\n          range_test: paper\n"
TWO_MAKERS = "      - name: mine.makers:Maker\n      - name: lsq\n"
THIRD = changed(("id: lsq", "id: third"), ("start: fp", "start: lsq"), text=LSQ_ROW)
REPORTED = "  - {id: told, label: T, detector: any, bits: 4/4, published: told, reported_only: no code}\n"
DATA = RIGHT[RIGHT.index("    data:\n") : RIGHT.index("    metric:")]
VOC = "    data:\n      kind: voc\n      path: voc\n      train: [a]\n      test: [b]\n      difficult: crowd\n"
SMALL = "    layers: [conv]\n    first: [a]\n    last: [b]\n    parts: [c]\n"
ALL_OPTIONS = LSQ_ROW[LSQ_ROW.index("        options") : LSQ_ROW.index("    pins")]
DETECTOR = RIGHT[RIGHT.index("      retinanet-r18:") : RIGHT.index("    calibration")]
RECIPE = RIGHT[RIGHT.index("        unit: step") : RIGHT.index("      qat:")]
ALL = ", ".join(known_categories(ShapesVoc.model_construct(kind="shapes-voc")) or ())
RULE = "{count: 2, row: lsq, reference: fp}"
CLAIM = "id: c, text: t, source: s, kind: difference, rows: [lsq, fp]"


def _link(number: int) -> str:
    """A row that starts from the one before it; the ninth makes the chain too long."""
    start = f"start: r{number - 1}" if number else "start: lsq"
    return THIRD.replace("third", f"r{number}").replace("start: lsq", start + MARK * (number == 8))


def _family(options: str) -> str:
    """A claim in a family with these options."""
    family = f"    f: {{claims: [c], {options}}}{MARK}\n"
    return f"claims:\n  - {{{CLAIM}, metric: AP}}\nevidence:\n  families:\n{family}tiers:\n"


# name: (words of the message, changes)
CHANGED: dict[str, tuple[str, list[tuple[str, str]]]] = {
    # Keys.
    "unknown key at the top": ('unknown key "titel"; did you mean "title"?', [("title: A", "titel: x§\ntitle: A")]),
    "unknown key of a policy": ('unknown key "frist"', [("    first:", "    frist: []§\n    first:")]),
    "unknown key of a row": (
        'unknown key "bit"; did you mean "bits"?',
        [("    bits: 4/4", "    bit: 4/4§\n    bits: 4/4")],
    ),
    "class of a method without its colon": (
        'the string "mine.Shrink" is no method: a built-in name such as lsq, or package.module:Class of your own',
        [("- name: lsq", "- name: mine.Shrink§")],
    ),
    "decimal comma": (
        "found the integer 1; quote it if it is meant so (decimals follow a point, not a comma)",
        [("weight_decay: 0.01}", "weight_decay: 0,001}§")],
    ),
    "unknown key of a method": (
        'unknown key "option"',
        [("      - name: lsq", "      - name: lsq\n        option: {}§")],
    ),
    "unknown key of pins": ('unknown key "wights"', [("{weights: 38,", "{wights: 1, weights: 38,§")]),
    "unknown key of a tier": ('unknown key "metrics"', [("    metric:", "    metrics: {}§\n    metric:")]),
    "unknown key of data": ('unknown key "path"', [("      side: 64", "      side: 64\n      path: x§")]),
    "unknown key of images": ('unknown key "val"', [("{train: 16,", "{val: 3, train: 16,§")]),
    "unknown key of a metric": ('unknown key "area"', [("{variant: coco,", "{variant: coco, area: 1,§")]),
    "unknown key of a detector": ('unknown key "widht"', [("        input:", "        widht: 8§\n        input:")]),
    "unknown key of a recipe": (
        'unknown key "epochs"',
        [("        length: 40", "        length: 40\n        epochs: 3§")],
    ),
    "unknown key of an optimizer": (
        'unknown key "rl"',
        [("          lr: 0.01", "          lr: 0.01\n          rl: 1§")],
    ),
    "unknown option at a tier": (
        'unknown key "steps"',
        [("    metric: {", "    options: {lsq: {steps: 3}}§\n    metric: {")],
    ),
    "wrong option at a tier": (
        "grad_scale",
        [("    metric: {", "    options: {lsq: {grad_scale: big}}§\n    metric: {")],
    ),
    "options of no method at a tier": (
        "no row uses the method 'tqt'",
        [("    metric: {", "    options: {tqt: {}}§\n    metric: {")],
    ),
    "duplicate key": ('duplicate key "title"', [("policies:", "title: again§\npolicies:")]),
    "duplicate key of a row": ('duplicate key "start"', [("    start: fp", "    start: fp\n    start: fp§")]),
    "no title": ('missing key "title"', [("title: A table\n", "§")]),
    "no label": ('missing key "label"', [("  - id: lsq\n    label: LSQ\n", "  - id: lsq§\n")]),
    "no difficult": ('missing key "difficult"', [("    data:\n", "    data:§\n"), ("      difficult: crowd\n", "")]),
    "no metric": (
        'missing key "metric"',
        [("  mini:\n    data", "  mini:§\n    data"), ("    metric: {variant: coco, area_side: 64}\n", "")],
    ),
    "no lr": ('missing key "lr"', [("        optimizer:\n", "        optimizer:§\n"), ("          lr: 0.01\n", "")]),
    # Values.
    "title is a number": ("expected a string", [("A table", "12§")]),
    "title of two lines": ("must be one line", [("A table", '"A\\ntable"§')]),
    "rows is a mapping": ("expected a list", [("rows:\n" + FP_ROW + LSQ_ROW, "rows: {fp: 1}§\n")]),
    "rows is empty": ("must not be empty", [("rows:\n" + FP_ROW + LSQ_ROW, "rows: []§\n")]),
    "tiers is empty": ("must not be empty", [(RIGHT[RIGHT.index("tiers:") :], "tiers: {}§\n")]),
    "label is empty": ("must not be empty", [("label: LSQ", 'label: ""§')]),
    "label is null": ("found nothing (null)", [("label: LSQ", "label:§")]),
    "bad slug": ('"L SQ" is no name of lower-case letters', [("id: lsq", "id: L SQ§")]),
    "slug with a way out": ('"../lsq" is no name of lower-case letters', [("id: lsq", "id: ../lsq§")]),
    "long slug": ("at most 60", [("id: lsq", f"id: {'x' * 61}§")]),
    "bits of one side": ("expected a quoted string 'W/A'", [("bits: 4/4", "bits: '4'§")]),
    "bits are a number": ("expected a quoted string 'W/A'", [("bits: 4/4", "bits: 4§")]),
    "bits 0": ("weight bits '0'", [("bits: 4/4", "bits: 0/4§")]),
    "bits 1": ("activation bits '1'", [("bits: 4/4", "bits: 4/1§")]),
    "bits 9": ("weight bits '9'", [("bits: 4/4", "bits: 9/9§")]),
    "bits with x": ("expected a quoted string", [("bits: 4/4", "bits: 4x4§")]),
    "bits negative": ("weight bits '-4'", [("bits: 4/4", "bits: -4/4§")]),
    "bits of three sides": ("expected a quoted string", [("bits: 4/4", "bits: 4/4/4§")]),
    "bits ternary for LSQ": ("lsq needs an integer", [("bits: 4/4", "bits: ter/4§")]),
    "bits of one side ternary": ("lsq needs an integer", [("bits: 4/4", "bits: ter/32§")]),
    "bits FP with a quantizer": ("makes quantizers, but bits are 32/32", [("bits: 4/4", "bits: 32/32§")]),
    "bits without a quantizer": ("no method of the row makes quantizers", [("bits: 32/32", "bits: 8/8§")]),
    "length is a fraction": ("an integer", [("length: 40", "length: 2.5§")]),
    "length is zero": ("at least 1", [("length: 40", "length: 0§")]),
    "length is text": ("expected an integer", [("length: 40", "length: '4'§")]),
    "negative lr": ("greater than 0", [("lr: 0.01\n", "lr: -0.01§\n")]),
    "lr is NaN": ("not a finite number", [("lr: 0.01\n", "lr: .nan§\n")]),
    "lr is infinite": ("not a finite number", [("lr: 0.01\n", "lr: .inf§\n")]),
    "lr is too large": ("too large", [("lr: 0.01\n", "lr: 1e999§\n")]),
    "lr is text": ("expected a number", [("lr: 0.01\n", "lr: 1e-2x§\n")]),
    "unknown optimizer": ("'sgd'", [("kind: sgd", "kind: lamb§")]),
    "seeds of none": ("at least 1", [("seeds: 3", "seeds: 0§")]),
    "too many seeds": ("at most 100", [("seeds: 3", "seeds: 101§")]),
    "unknown tier": (
        'unknown key "tiny"',
        [("  mini:\n    data", "  tiny:§\n    data"), ("      mini: {weights", "      smoke: {weights")],
    ),
    "unknown kind of data": ("'shapes-voc'", [("kind: shapes-voc", "kind: imagenet§")]),
    "unknown difficult": ("'crowd'", [("difficult: crowd", "difficult: keep§")]),
    "unknown metric": ("'coco'", [("{variant: coco,", "{variant: voc,§")]),
    "pins are text": ("expected an integer", [("weights: 38", "weights: many§")]),
    "size of one number": ("entr", [("size: [64, 64]", "size: [64]§")]),
    # Names that must exist, fit, or be used.
    "duplicate row": ("row id 'fp' is used twice", [("id: lsq", "id: fp§")]),
    "core names no row": ("unknown row 'lqs'", [("policies:", "core: [fp, lqs§]\npolicies:")]),
    "core without a start": (
        "starts from row 'fp', which is not in `core`",
        [("policies:", "core: [lsq§]\npolicies:")],
    ),
    "core names a row twice": ("stands twice in `core`", [("policies:", "core: [fp, fp§]\npolicies:")]),
    "unknown detector": (
        "did you mean 'retinanet-r18'?",
        [("detector: retinanet-r18\n    bits: 4/4", "detector: retinanet-r19§\n    bits: 4/4")],
    ),
    "unknown method": ("unknown method 'lsqq'; did you mean 'lsq'?", [("- name: lsq", "- name: lsqq§")]),
    "unknown module": ("no module nowhere.at", [("- name: lsq", "- name: nowhere.at:All§")]),
    "class that is none": ("has no class Absent", [("- name: lsq", "- name: mine.makers:Absent§")]),
    "method without version": ("version = 1", [("- name: lsq", "- name: mine.makers:Unversioned§")]),
    "method that is no Python": ("broken.py:2", [("- name: lsq", "- name: mine.broken:Any§")]),
    "method that is no name": ('"../lsq" is no method: a built-in name', [("- name: lsq", "- name: ../lsq§")]),
    "method twice": (
        "stands twice",
        [("    pins:", "      - name: mine.makers:Loss\n      - name: mine.makers:Loss§\n    pins:")],
    ),
    "two quantizers": (
        "both make quantizers",
        [("    methods:\n", "    methods:§\n"), ("      - name: lsq\n", TWO_MAKERS)],
    ),
    "a correction before there are quantizers": (
        "bias_correction must stand behind the method that makes quantizers",
        [("      - name: lsq\n", "      - name: bias_correction§\n        options: {inputs: fp}\n      - name: lsq\n")],
    ),
    "losses of single samples of a DETR": (
        "which only the families atss, retinanet, ssdlite, yolox have here",
        [
            ("      - name: lsq\n", "      - name: mine.makers:Reshaping§\n      - name: lsq\n"),
            ("detector: retinanet-r18\n    bits: 4/4", "detector: detr-r50\n    bits: 4/4"),
            ("    start: fp\n", ""),
        ],
    ),
    "losses of a row that is not trained": (
        "changes training losses, but the row is not trained",
        [
            ("      - name: lsq\n", "      - name: mine.makers:Reshaping§\n      - name: lsq\n"),
            ("    recipe: qat\n", ""),
        ],
    ),
    "no options": ("missing key", [("      - name: lsq\n" + ALL_OPTIONS, "      - name: lsq§\n")]),
    "missing option": ('missing key "range_test"', [(OPTIONS, "        options:§\n")]),
    "unknown option": (
        'unknown key "rang_test"; did you mean "range_test"?',
        [(OPTIONS, OPTIONS + "          rang_test: paper§\n")],
    ),
    "wrong option": ("'paper' or 'mqbench'", [("range_test: paper", "range_test: after§")]),
    "observer without p": (
        "needs `p`",
        [("activations: {kind: ema_mse, p: 2.0, ema: 0.9}", "activations: {kind: ema_mse, ema: 0.9}§")],
    ),
    "observer with ema": ("has no `ema`", [("{kind: minmax}", "{kind: minmax, ema: 0.9}§")]),
    "ema of one": ("less than 1", [("ema: 0.9", "ema: 1.0§")]),
    "unknown start": ("unknown row 'fpp'; did you mean 'fp'?", [("start: fp", "start: fpp§")]),
    "self start": ("cyclic dependency: lsq -> lsq", [("start: fp", "start: lsq§")]),
    "cycle of two": (
        "cyclic dependency: lsq -> third -> lsq",
        [("start: fp", "start: third§"), ("tiers:\n", THIRD + "tiers:\n")],
    ),
    "cycle of three": (
        "cyclic dependency: fp -> third -> lsq -> fp",
        [("    recipe: fp\n", "    recipe: fp\n    start: third§\n"), ("tiers:\n", THIRD + "tiers:\n")],
    ),
    "start from a reported row": (
        "row 'told' is reported only",
        [
            ("title:", "published: {file: z, table: T-Z}\ntitle:"),
            ("start: fp", "start: told§"),
            ("tiers:\n", REPORTED + "tiers:\n"),
        ],
    ),
    "start from another detector": (
        "another detector",
        [
            ("detector: retinanet-r18\n    bits: 32", "detector: retinanet-r50\n    bits: 32"),
            ("start: fp", "start: fp§"),
            (DETECTOR, DETECTOR + DETECTOR.replace("r18", "r50")),
        ],
    ),
    "part of no start": (
        "`start_part` needs `start`",
        [("recipe: fp\n", "recipe: fp\n    start_part: backbone§\n")],
    ),
    "long chain": (
        "more than 10 rows start from one another",
        [("tiers:\n", "".join(map(_link, range(12))) + "tiers:\n")],
    ),
    "published without table": ("no published table", [("    start: fp", "    start: fp\n    published: lsq§")]),
    "unknown policy": ("unknown policy 'al'; did you mean 'all'?", [("    policy: all", "    policy: al§")]),
    "no policy": ("so the row needs a `policy`", [("  - id: lsq", "  - id: lsq§"), ("    policy: all\n", "")]),
    "policy of an FP row": ("a policy without a method", [("    recipe: fp\n", "    recipe: fp\n    policy: all§\n")]),
    "unused policy": ("no row uses policy 'more'", [("rows:\n", "  more:§\n" + SMALL + "rows:\n")]),
    "unknown recipe": (
        "wants recipe 'qta', which the tier lacks",
        [("recipe: qat", "recipe: qta"), ("    recipes:\n", "    recipes:§\n"), ("      qat:", "      fp2:")],
    ),
    "unused recipe": ("no row uses recipe 'more'", [("    seeds: 3", "      more:§\n" + RECIPE + "    seeds: 3")]),
    "absent detector": (
        "which the tier lacks",
        [("    detectors:\n      retinanet-r18", "    detectors:§\n      retinanet-r50")],
    ),
    "pins of an absent tier": ("pins for tier 'midi'", [("      mini: {weights", "      midi: {§weights")]),
    "pins of an FP row": (
        "pins of a row without quantizers",
        [
            (
                "    recipe: fp\n",
                "    recipe: fp\n    pins:§\n      mini: {weights: 1, activations: 1, edge: 1, unsigned: 1}\n",
            )
        ],
    ),
    "negative pins": ("must be at least 0", [("edge: 13", "edge: -1§")]),
    "no calibration": (
        "the tier needs `calibration`",
        [("  mini:\n    data", "  mini:§\n    data"), ("    calibration: {images: 8, batch: 4}\n", "")],
    ),
    "calibration of more than there is": ("17 calibration images of 16", [("{images: 8,", "{images: 17,§")]),
    "batch of more than there is": (
        "a batch of 17",
        [("length: 40\n        batch: 4", "length: 40\n        batch: 17§")],
    ),
    "milestone past the end": (
        "milestone 40 lies at or past the end",
        [("      qat:\n", "      qat:§\n"), ("[2, 3]", "[2, 40]")],
    ),
    "milestones that fall": ("must grow", [("milestones: [2, 3]", "milestones: [3, 2]§")]),
    "milestones of a cosine": ("needs milestones", [("decay: {kind: step,", "decay: {kind: cosine,§")]),
    "warm-up past the end": ("lasts past the end", [("length: 2,", "length: 41,§")]),
    "momentum with adam": (
        "belong to sgd",
        [("        optimizer:\n", "        optimizer:§\n"), ("kind: sgd", "kind: adam")],
    ),
    "betas with sgd": (
        "betas belong to adam",
        [("        optimizer:\n", "        optimizer:§\n"), ("momentum: 0.9", "betas: [0.9, 0.99]")],
    ),
    "betas of one": ("less than 1", [("weight_decay: 0.01}", "weight_decay: 0.01, betas: [0.9, 1.0]}§")]),
    "nesterov without momentum": ("needs a momentum", [("momentum: 0.9", "nesterov: true§")]),
    "empty range": ("is empty", [("        cost_s: 60", "        augment: {scale: [2.0, 0.5]}§\n        cost_s: 60")]),
    "nothing to train": (
        "must be a checkpoint",
        [
            ("    recipe: fp\n", ""),
            ("init: {kind: scratch}", "init: {kind: scratch}§"),
            (RIGHT[RIGHT.index("      fp:\n") : RIGHT.index("      qat:\n")], ""),
        ],
    ),
    "checkpoint without file": ("needs a `file`", [("init: {kind: scratch}", "init: {kind: backbone}§")]),
    "checkpoint out of the folder": (
        "without folders",
        [("init: {kind: scratch}", "init: {kind: checkpoint, file: ../../x-01234567.pth}§")],
    ),
    "checkpoint without hash": ("8 hex digits", [("init: {kind: scratch}", "init: {kind: checkpoint, file: x.pth}§")]),
    "VOC option of a COCO metric": ("has no `pixels`", [("{variant: coco,", "{variant: coco, pixels: exclusive,§")]),
    "class twice": ("class 'a' stands twice", [(DATA, VOC + "      classes: [a, b, a]§\n")]),
    # Groups of categories.
    "unknown category": (
        "unknown category 'solid-disk'; did you mean 'solid-disc'?",
        [("tiers:\n", "groups:\n  a: {categories: [solid-disk], source: ours}§\ntiers:\n")],
    ),
    "empty group": ("must not be empty", [("tiers:\n", "groups:\n  a: {categories: [], source: ours}§\ntiers:\n")]),
    "group without categories": (
        "needs one of `categories`, `builtin` and `most_impacted`, found none",
        [("tiers:\n", "groups:\n  a: {source: ours}§\ntiers:\n")],
    ),
    "group without a source": (
        "whose choice",
        [("tiers:\n", "groups:\n  a: {categories: [solid-disc]}§\ntiers:\n")],
    ),
    "group of all categories": (
        "group 'a' holds all 20 categories: its numbers are the overall ones",
        [("tiers:\n", f"groups:\n  a: {{categories: [{ALL}], source: ours}}§\ntiers:\n")],
    ),
    "category twice in a group": (
        "category 'solid-star' stands twice in group 'a'",
        [("tiers:\n", "groups:\n  a: {categories: [solid-star, solid-star], source: ours}§\ntiers:\n")],
    ),
    "name of a group": ("does not match", [("tiers:\n", "groups:\n  a.b: {builtin: star}§\ntiers:\n")]),
    "built-in group of other data": (
        "data shapes-voc: unknown group 'vehicle'",
        [("tiers:\n", "groups:\n  a: {builtin: vehicle}§\ntiers:\n")],
    ),
    "group of a tier": (
        "unknown category 'car'",
        [("    seeds: 3\n", "    seeds: 3\n    groups: {a: {categories: [car], source: ours}}§\n")],
    ),
    "categories chosen on the test split": (
        "is scored on the test split; categories are chosen by rows with `scored: tune`",
        [("tiers:\n", f"groups:\n  a: {{most_impacted: {RULE}}}§\ntiers:\n")],
    ),
    "claim on an unknown group": (
        "tier mini: unknown group 'cars'; known: none",
        [("tiers:\n", f"claims:\n  - {{{CLAIM}, metric: cars.AP}}§\ntiers:\n")],
    ),
    "claim on a metric that a group lacks": (
        "unknown metric of a group 'gap_share'",
        [("tiers:\n", f"claims:\n  - {{{CLAIM}, metric: cars.gap_share}}§\ntiers:\n")],
    ),
    "claim on an unknown metric": (
        "unknown metric 'AP60'; did you mean 'AP50'?",
        [("tiers:\n", f"claims:\n  - {{{CLAIM}, metric: AP60}}§\ntiers:\n")],
    ),
    "claim on another variant's metric": (
        "tier mini is scored by coco, which has no mAP",
        [("tiers:\n", f"claims:\n  - {{{CLAIM}, metric: mAP}}§\ntiers:\n")],
    ),
    "limit without a bound": (
        "needs either `loses_at_most` or `loses_at_least`",
        [("tiers:\n", "regime:\n  - {row: lsq, reference: fp}§\ntiers:\n")],
    ),
    "trained rows over images": (
        "family 'f' is over images, but has trained rows (lsq, fp): how training varies is seen over repetitions alone",
        [("tiers:\n", _family("over: images, replicates: 2000, seed: 0"))],
    ),
    "images without replicates": (
        "`over: images` needs `replicates` (such as 2000) and `seed`",
        [("tiers:\n", _family("over: images, seed: 0"))],
    ),
    "seed of repetitions": ("`seed` belongs to `over: images`", [("tiers:\n", _family("seed: 0"))]),
    "spread over images": (
        "`spread` is of repetitions",
        [("tiers:\n", _family("over: images, replicates: 2000, seed: 0, spread: 0.5"))],
    ),
    "replicates too few for the level": (
        "100 replicates are too few for 1 claim at 3 %: at least 167 are needed",
        [("tiers:\n", _family("over: images, replicates: 100, seed: 0"))],
    ),
    "fewer repetitions than a claim needs": (
        "claim 'c' is over 3 repetitions at tier mini, but row 'lsq' has 2",
        [("    bits: 4/4", "    bits: 4/4\n    repetitions: 2"), ("tiers:\n", _family("spread: 0.5"))],
    ),
    "over what is not known": ("'repetitions' or 'images'", [("tiers:\n", _family("over: seeds"))]),
    # YAML.
    "tag": ("tags", [("A table", "!!python/name:os.system A§")]),
    "anchor": ("anchors (&x)", [("A table", "&x A§")]),
    "alias": ("aliases (*x)", [("A table", "*x§")]),
    "merge key": ("merge keys", [("{kind: minmax}", "{<<: {kind: minmax}}§")]),
    "tab": ("a tab in the indentation", [("    label: LSQ", "\tlabel: LSQ§")]),
    "NUL": ("U+0000", [("A table", "A\0table§")]),
    "escape sequence": ("U+001B", [("A table", "A\x1b[2J§")]),
    "two documents": ("a second document", [("tiers:\n", "---§\ntiers:\n")]),
    "never closed": ("a bracket is never closed", [("seeds: 3\n", "seeds: [1, 2,§\n")]),
    "key without colon": ("not valid YAML", [("    label: LSQ\n", "    label§\n")]),
    "number as key": ("a key must be a string", [("policies:\n", "policies:\n  1: {}§\n")]),
    "merge of a row's lines": ("not valid YAML", [("    label: LSQ", "   label: LSQ§")]),
}

BOMB = "a0: &a0 x\n" + "".join(f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 13))
# name: (bytes, line, words)
WHOLE: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 1, "is empty"),
    "only comments": (b"# a\n# b\n", 1, "only comments"),
    "a list": (b"# x\n- a\n- b\n", 2, "found a list"),
    "a text": (b"suite\n", 1, "top level"),
    "not UTF-8": (RIGHT.encode().replace(b"LSQ", b"\xff"), 15, "not UTF-8"),
    "Latin-1": (RIGHT.replace("LSQ", "für").encode("latin-1"), 15, "not UTF-8"),
    "UTF-16": (RIGHT.encode("utf-16"), 1, "not UTF-8"),
    "bomb of aliases": (BOMB.encode(), 1, "anchors"),
    "deep nesting": (b"a: " + b"[" * 10_000, 1, "nested deeper"),
    "deep mappings": (b"".join(b" " * k + b"a:\n" for k in range(300)), 21, "nested deeper"),
    "many values": (b"a:\n" + b"- 1\n" * 30_000, 19_999, "more than 20,000"),
    "binary": (bytes(range(256)), 2, "not UTF-8"),
}
