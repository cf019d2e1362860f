"""JSON bodies that are parsed once and edited by splicing: the bytes of what nobody touched stay.

- `text`: reading and writing whole texts; `edit`: the edit of one text by the value that it shall have.
- `splicer`, `container`, `pairing`, `scanner`: edits in place, by reading the text up to the last of them.
- `gap`, `kept`, `walk`, `search`: edits of large texts, of which the long runs that stay are not read.
- `spelling`: how a text is spelled.
"""

from router_core.json_document.edit import splice
from router_core.json_document.text import Json, parse, serialise

__all__ = ["Json", "parse", "serialise", "splice"]
