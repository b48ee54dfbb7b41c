"""Patterns that strings of a suite must match, and what each asks for in words."""

SLUG = r"^[a-z0-9][a-z0-9._+-]*$"
SHA256 = r"^[0-9a-f]{64}$"
METHOD = r"^([a-z][a-z0-9_]*|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"
DECODING = r"^(yolox|gfl|[A-Za-z_][\w.]*:[A-Za-z_]\w*)$"

WORDS = {
    SLUG: "name of lower-case letters, digits and . _ + -, a letter or digit first",
    SHA256: "hash of 64 lower-case hex digits, as `sha256sum FILE` prints it",
    METHOD: "method: a built-in name such as lsq, or package.module:Class of your own, with a colon",
    DECODING: "decoding: yolox, gfl, or package.module:function of your own, with a colon",
}
"""They follow `is no`."""
