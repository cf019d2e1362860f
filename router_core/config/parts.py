"""A configuration in several files: the main one, parts in ``conf.d/`` beside it, providers in ``providers/``.

The folders may be kept by git or by a file synchroniser, so what such tools leave beside the files is known.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from router_core.config.document import Node, Path as KeyPath, read
from router_core.config.problems import Problem, shown

PARTS: Final = "conf.d"
PROVIDERS: Final = "providers"

_COPY: Final = re.compile(
    r"[._ (-](?:sync-)?conflict|conflicted copy| \(\d+\)$|_(?:BACKUP|BASE|LOCAL|REMOTE)_\d+$", re.I
)
"""The ends of names (without suffix) that Syncthing, Dropbox, Nextcloud, Google Drive and git's merge tool give to
the other version of a file that was changed in two places."""


def yaml_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The YAML files of a folder by name, and the copies of conflicts among them, which nobody should read.

    Hidden files are those that an editor or a transfer is not done with.
    """
    found = sorted(f for f in folder.glob("*.yaml") if not f.name.startswith(".") and f.is_file())
    copies = [file for file in found if _COPY.search(file.stem)]
    return [file for file in found if file not in copies], copies


def copies_of(path: Path) -> list[Path]:
    """The copies of conflicts over the file `path`."""
    return [copy for copy in yaml_files(path.parent)[1] if copy.stem.startswith(path.stem)]


def conflict(copy: Path) -> Problem:
    """What is said of a copy."""
    return Problem(
        str(copy),
        0,
        "the copy of a conflict that a file synchroniser has left is not read",
        "take what you need from it, and delete it",
    )


def read_part(file: Path) -> tuple[Node, list[Problem]]:
    """One part, and every mistake in its writing. Raises OSError."""
    data = file.read_bytes()
    tree, problems = read(data, str(file))
    if not data.strip():
        # Somebody is writing it just now, or could not: the disk was full.
        problems.append(Problem(str(file), 0, "the file is empty", "write something into it, or delete it"))
    if not isinstance(tree.value, dict):
        problems.append(Problem(str(file), tree.line, "the file holds no mapping", "write KEY: VALUE lines"))
        tree = Node({}, tree.line, tree.file)
    return tree, problems


def merged(tree: Node, part: Node, problems: list[Problem], at: KeyPath = ()) -> Node:
    """`tree` and what `part` adds, both of them mappings. Mappings are merged, lists are continued.

    Any other key that stands in both is a problem, but for the version, which each file may state.
    """
    values = dict(tree.value)
    for key, node in part.value.items():
        before, path = values.get(key), (*at, key)
        if before is None:
            values[key] = node
        elif isinstance(before.value, dict) and isinstance(node.value, dict):
            values[key] = merged(before, node, problems, path)
        elif isinstance(before.value, list) and isinstance(node.value, list):
            values[key] = Node([*before.value, *node.value], before.line, before.file)
        elif path != ("version",) or before.value != node.value:
            what = f"key {shown('.'.join(map(str, path)))} stands in {before.file}:{before.line} too"
            problems.append(Problem(node.file, node.line, what, "remove one of them"))
    return Node(values, tree.line, tree.file)
