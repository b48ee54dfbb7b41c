"""Data pins: `data/NAME.dvc` says what an archive must be; here it is fetched, verified, unpacked and re-checked.

One way: `pin` (the file) → `fetch` and `transfer` (the download) → `digests` (is it the right one?) → `members`
and `unpack` (what is in it, and is that safe?) → `folder` (what is on the disk). `get` is the whole of it.
"""
