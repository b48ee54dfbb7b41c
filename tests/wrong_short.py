"""Wrong suites in the short form: those of `wrong_suites` that read otherwise there, and what only it can get wrong."""

from suite_text import SHORT
from wrong_suites import DETECTOR, MARK, RECIPE, SMALL

ROWS = SHORT[SHORT.index("rows:\n") : SHORT.index("tiers:\n")]
SET = SHORT[SHORT.index("  lsq:\n") : SHORT.index("defaults:\n")]
OPTIONS = SET.removeprefix("  lsq:\n")
METHODS = SHORT[SHORT.index("methods:\n") : SHORT.index("defaults:\n")]
KIND = SHORT[SHORT.index("  int4:\n") : SHORT.index("rows:\n")]
USE = "    methods: [lsq]\n"
PINS = "    pins: {weights: 38, activations: 70, edge: 13, unsigned: 40}\n"
CALIBRATION = "    calibration:"
END = "    seeds: 3\n"


def _named(name: str) -> list[tuple[str, str]]:
    """The set of options has another name, and says whose it is by `name`."""
    return [("  lsq:\n", f"  own:\n    name: {name}{MARK}\n"), (USE, "    methods: [own]\n")]


def _recipe(text: str) -> list[tuple[str, str]]:
    """One more recipe, which a row uses."""
    row = "  - {id: more, label: M, bits: 32/32, recipe: more}\n"
    return [("tiers:\n", f"{row}tiers:\n"), (END, f"      more: {text}\n{END}")]


# The changes of the whole form's cases that have no such text in the short one.
REWRITTEN: dict[str, list[tuple[str, str]]] = {
    "unknown key of a method": [(USE, "    methods: [{name: lsq, option: {}}]§\n")],
    "rows is a mapping": [(ROWS, "rows: {fp: 1}§\n")],
    "rows is empty": [(ROWS, "rows: []§\n")],
    "duplicate row": [("tiers:\n", "  - {id: fp§, label: F, bits: 32/32, recipe: fp}\ntiers:\n")],
    "unused policy": [("methods:\n  lsq", "  more:§\n" + SMALL + "methods:\n  lsq")],
    "unknown tier": [("  mini:\n    data", "  tiny:§\n    data")],
    "unknown detector": [("    label: LSQ\n", "    label: LSQ\n    detector: retinanet-r19§\n")],
    "unknown method": _named("lsqq"),
    "unknown module": _named("nowhere.at:All"),
    "class that is none": _named("mine.makers:Absent"),
    "method without version": _named("mine.makers:Unversioned"),
    "method that is no Python": _named("mine.broken:Any"),
    "method that is no name": _named("../lsq"),
    "class of a method without its colon": _named("mine.Shrink"),
    "method twice": [
        (USE, "    methods:\n    - lsq\n    - name: mine.makers:Loss\n    - {name: 'mine.makers:Loss'}§\n"),
    ],
    "two quantizers": [(USE, "    methods: [{name: 'mine.makers:Maker'}, lsq]§\n")],
    "a correction before there are quantizers": [
        (USE, "    methods:\n    - {name: bias_correction, options: {inputs: fp}}§\n    - lsq\n"),
    ],
    "losses of single samples of a DETR": [
        (USE, "    detector: detr-r50\n    methods: [{name: 'mine.makers:Reshaping'}, lsq]§\n"),
        ("    start: fp\n", ""),
    ],
    "losses of a row that is not trained": [
        (USE, "    methods: [{name: 'mine.makers:Reshaping'}, lsq]§\n"),
        ("    recipe: qat\n", ""),
    ],
    "no options": [(SET, "  lsq: {}§\n")],
    "missing option": [("  lsq:\n    range_test: paper\n", "  lsq:§\n")],
    "unknown option": [("    range_test: paper\n", "    range_test: paper\n    rang_test: paper§\n")],
    "start from another detector": [
        ("    bits: 32/32\n", "    bits: 32/32\n    detector: retinanet-r50\n"),
        ("    start: fp\n", "    start: fp§\n"),
        (DETECTOR, DETECTOR + DETECTOR.replace("r18", "r50")),
    ],
    "pins of an absent tier": [(PINS, "    pins:\n      midi: {weights: 1, activations: 1, edge: 1, unsigned: 1}§\n")],
}

# name: (words of the message, changes of the short form)
CHANGED: dict[str, tuple[str, list[tuple[str, str]]]] = {
    # Kinds.
    "unknown kind": ("unknown kind 'int5'; did you mean 'int4'?", [("kind: int4", "kind: int5§")]),
    "kind of no kinds": ("unknown kind 'int4'; known: none", [("kinds:\n" + KIND, ""), ("kind: int4", "kind: int4§")]),
    "kind is null": ('missing key "bits"', [("  - id: lsq\n", "  - id: lsq§\n"), ("kind: int4", "kind: null")]),
    "kind in a kind": ("a kind cannot take over another kind", [("    bits: 4/4\n", "    bits: 4/4\n    kind: fp§\n")]),
    "id in a kind": ("each row has an `id` of its own", [("    bits: 4/4\n", "    bits: 4/4\n    id: fp§\n")]),
    "label in a kind": ("each row has a `label` of its own", [("    bits: 4/4\n", "    bits: 4/4\n    label: L§\n")]),
    "unknown key of a kind": (
        'kinds.int4: unknown key "polcy"; did you mean "policy"?',
        [("    bits: 4/4\n", "    bits: 4/4\n    polcy: all§\n")],
    ),
    "unused kind": ("no row uses kind 'int8'", [("rows:\n", "  int8: {bits: 8/8}§\nrows:\n")]),
    "kind twice": ('duplicate key "int4"', [("rows:\n", "  int4: {bits: 8/8}§\nrows:\n")]),
    "kind is a list": ("kinds.int4: expected a mapping, found a list", [(KIND, "  int4: [fp]§\n")]),
    "kinds is a list": ("kinds: expected a mapping, found a list", [("kinds:\n" + KIND, "kinds: [int4]§\n")]),
    "kind of no name": ('kinds: key "Int 4" is no name of lower-case letters', [("  int4:", "  Int 4:§")]),
    "wrong bits of a kind": ("kinds.int4.bits: bits '4/1'", [("    bits: 4/4", "    bits: 4/1§")]),
    "bits of a kind that do not fit": (
        "kinds.int4.bits: lsq makes quantizers, but bits are 32/32 (row 'lsq')",
        [("    bits: 4/4", "    bits: 32/32§")],
    ),
    "unknown policy of a kind": ("kinds.int4.policy: unknown policy 'al'", [("    policy: all", "    policy: al§")]),
    "unknown start of a kind": ("kinds.int4.start: unknown row 'fpp'", [("    start: fp", "    start: fpp§")]),
    "bits that nothing gives": (
        'rows[1]: missing key "bits"',
        [("    bits: 4/4\n", ""), ("  - id: lsq\n", "  - id: lsq§\n")],
    ),
    # Defaults.
    "unknown section of defaults": (
        'defaults: unknown key "rows"; did you mean "row"?',
        [("  row: {detector", "  rows: {}§\n  row: {detector")],
    ),
    "unknown key of defaults": ('defaults.row: unknown key "detectr"', [("{detector:", "{§detectr: x, detector:")]),
    "kind in defaults": ("`kind` cannot stand here", [("{detector:", "{kind: int4§, detector:")]),
    "label in defaults": ("each row has a `label` of its own", [("{detector:", "{label: L§, detector:")]),
    "unknown detector of defaults": (
        "defaults.row.detector: unknown detector 'retinanet'; did you mean 'retinanet-r50'? (row 'fp')",
        [("{detector: retinanet-r18}", "{detector: retinanet}§")],
    ),
    "defaults of claims that are none": (
        "the suite has no claims",
        [("kinds:\n", "  claim: {metric: AP}§\nkinds:\n")],
    ),
    "unknown metric of defaults": (
        "defaults.claim.metric: unknown metric 'ap'; known: AP, AP50",
        [("kinds:\n", "  claim: {metric: ap}§\nkinds:\n")],
    ),
    # Methods.
    "unknown name of options": (
        "unknown name of options 'lsqq'; did you mean 'lsq'?",
        [(USE, "    methods: [lsqq]§\n")],
    ),
    "unknown name of options in a kind": (
        "unknown name of options 'hqod'; known: lsq",
        [("    policy: all\n", "    policy: all\n    methods: [hqod]§\n")],
    ),
    "name of options without any": (
        "since the suite has no section `methods`",
        [(METHODS, ""), (USE, "    methods: [lsq]§\n")],
    ),
    "method is a number": (
        "rows[1].methods[0]: expected a string, found the integer 3",
        [(USE, "    methods: [3]§\n")],
    ),
    "methods is a name": ("rows[1].methods: expected a list", [(USE, "    methods: lsq§\n")]),
    "unused options": ("no row uses the options 'mine'", [("defaults:\n", "  mine: {name: hqod}§\ndefaults:\n")]),
    "options of nobody": (
        "'lsqq' is no built-in method, so `name` must say whose options these are; did you mean 'lsq'?",
        [("  lsq:\n", "  lsqq:§\n"), (USE, "    methods: [lsqq]\n")],
    ),
    "a built-in's name for another": (
        "methods.lsq.name: expected 'lsq', found the string \"tqt\"",
        [("    range_test: paper\n", "    range_test: paper\n    name: tqt§\n")],
    ),
    "options are a text": ("methods.lsq: expected a mapping", [(SET, "  lsq: paper§\n")]),
    "options are null": ("methods.lsq: expected a mapping, found nothing (null)", [(SET, "  lsq:§\n")]),
    "wrong option of a named set": (
        "methods.own.range_test: expected 'paper' or 'mqbench'",
        [("  lsq:\n    range_test: paper", "  own:\n    name: lsq\n    range_test: x§"), (USE, "    methods: [own]\n")],
    ),
    "missing option of a named set": (
        'methods.own: missing key "range_test"',
        [("  lsq:\n    range_test: paper\n", "  own:§\n    name: lsq\n"), (USE, "    methods: [own]\n")],
    ),
    "wrong observer": (
        "methods.lsq.weights: observer mse needs `p`",
        [("    weights: {kind: minmax}", "    weights: {kind: mse}§")],
    ),
    # Pins.
    "pins of a policy for an absent tier": (
        "pins for tier 'midi', which the suite does not have",
        [(PINS, "    pins:\n      midi: {weights: 1, activations: 1, edge: 1, unsigned: 1}§\n")],
    ),
    "pins of a policy that lack a count": ('policies.all.pins: missing key "edge"', [("edge: 13, ", "§")]),
    "negative pins of a policy": ("policies.all.pins.edge: must be at least 0", [("edge: 13", "edge: -1§")]),
    "pins of a row for an unknown tier": (
        'rows[1].pins: unknown key "tiny"',
        [(USE, f"{USE}    pins:\n      tiny: {{weights: 1, activations: 1, edge: 1, unsigned: 1}}§\n")],
    ),
    "counts of a row in FP": (
        "pins of a row without quantizers",
        [("    recipe: fp\n", "    recipe: fp\n    pins: {weights: 1, activations: 1, edge: 1, unsigned: 1}§\n")],
    ),
    # Recipes.
    "recipe from a recipe with from": (
        "recipe 'qat' takes over 'fp' itself",
        [*_recipe("{from: qat}§"), ("      qat:\n", "      qat:\n        from: fp\n")],
    ),
    "recipe from itself": ("recipe 'more' cannot take over itself", _recipe("{from: more}§")),
    "recipe from an unknown one": ("unknown recipe 'qatt'; did you mean 'qat'?", _recipe("{from: qatt}§")),
    "recipe from null": ("recipe 'none' is null at this tier", _recipe("{from: none}§\n      none: null")),
    "recipe from a list": ("recipes.more.from: expected a string", _recipe("{from: [qat]}§")),
    "unknown key beside from": ('recipes.more: unknown key "lenght"', _recipe("{from: qat, lenght: 3}§")),
    "wrong value beside from": ("recipes.more.batch: must be at least 1", _recipe("{from: qat, batch: 0}§")),
    "recipe that does not fit together": (
        "recipes.more: milestone 3 lies at or past the end, 3",
        _recipe("{from: qat, length: 3}§"),
    ),
    "warm-up taken over that is too long": (
        "recipes.qat.warmup.length: a warm-up of 2 lasts past the end, 1",
        [*_recipe("{from: qat, length: 1, decay: {kind: constant}}"), ("length: 2,", "length: 2,§")],
    ),
    # Observers.
    "observers of nothing": (
        "unknown row or kind 'int8'; did you mean 'int4'?",
        [(CALIBRATION, "    observers: {int8: {weights: {kind: lsq}}}§\n    calibration:")],
    ),
    "observers of a kind and a row": (
        "'int4' is a kind and a row; rename one of them",
        [
            (CALIBRATION, "    observers: {int4: {weights: {kind: lsq}}}§\n    calibration:"),
            ("id: lsq", "id: int4"),
        ],
    ),
    "observers of a kind without any": (
        "observers.int4: no method of row 'lsq' has weights",
        [
            (CALIBRATION, "    observers: {int4: {weights: {kind: lsq}}}§\n    calibration:"),
            (USE, ""),
            ("    policy: all\n", ""),
            ("    bits: 4/4", "    bits: 32/32"),
            (SHORT[SHORT.index("policies:\n") : SHORT.index("defaults:\n")], ""),
        ],
    ),
    "observers of a kind that name nothing": (
        "observers.int4: names neither",
        [(CALIBRATION, "    observers: {int4: {}}§\n    calibration:")],
    ),
    # Published rows.
    "published is false": (
        "expected True or a string, found false",
        [("    kind: int4\n", "    kind: int4\n    published: false§\n")],
    ),
    "published as itself without a table": (
        "the suite names no published table",
        [("    kind: int4\n", "    kind: int4\n    published: true§\n")],
    ),
    "unknown key of the short form": (
        'unknown key "kind"; did you mean "kinds"?',
        [("kinds:\n", "kind: {}§\nkinds:\n")],
    ),
    "unused recipe": ("no row uses recipe 'more'", [(END, f"      more:§\n{RECIPE}{END}")]),
}
