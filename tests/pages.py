"""Reads an HTML page as a test needs it: its anchors, links and what it would load."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Collects while it parses."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag in ("link", "script", "img", "iframe", "source", "image", "use"):
            self.loaded += [found[name] for name in ("href", "src", "srcset") if name in found]

    @property
    def broken(self) -> set[str]:
        """Links within the page that lead nowhere."""
        return {link for link in self.links if link.startswith("#") and link[1:] not in self.ids}

    @property
    def outside(self) -> set[str]:
        """What it would load from elsewhere."""
        return {address for address in self.loaded if not address.startswith("data:")}
