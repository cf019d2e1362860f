"""One encrypted file that carries a configuration, and its secrets if wanted, to another machine.

The file: a line that names the format, a salt (16 bytes), a nonce (12), and a JSON document, compressed
and sealed by ChaCha20-Poly1305 (RFC 8439) with a key that scrypt (RFC 7914) makes from a passphrase.
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel

from router_core.config.loader import Loaded, load
from router_core.config.schema import SecretRef
from router_core.config.secrets import SecretError, resolve_now
from router_core.ownership import private_folder

MAGIC: Final = b"detour-config 1\n"
SALT, NONCE = 16, 12
MAX_SIZE: Final = 16 << 20
"""Bytes of the file, and of the document in it."""

SECRETS: Final = "secrets"
"""Folder beside an imported configuration that holds its secrets, a file each."""

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class TransferError(Exception):
    """It cannot be exported or imported; the message says why and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is carried over."""

    files: dict[str, str]
    """Path below the configuration's folder to its text; ``detour.yaml`` is always among them."""
    secrets: dict[str, str]
    """Reference as it is written (``env:NAME``, ``file:PATH``) to the secret."""


def collect(loaded: Loaded, *, secrets: bool, env: Mapping[str, str] = os.environ) -> Bundle:
    """The configuration with its parts and the provider definitions beside it. Raises TransferError.

    Without `secrets` a secret that stands in the configuration itself is an error: it would go along.
    """
    folder = loaded.path.parent
    files = {"detour.yaml": _text(loaded.path)}
    for path in loaded.files[1:]:
        if path.is_relative_to(folder):
            files[path.relative_to(folder).as_posix()] = _text(path)
    found = list(_references(loaded.config))
    if not secrets:
        if any(ref.kind == "literal" for ref in found):
            raise TransferError(
                "a secret stands in the configuration itself; write env:NAME or file:PATH, or export with --secrets"
            )
        return Bundle(files, {})
    return Bundle(files, dict(_resolved(found, "".join(files.values()), folder, env)))


def _resolved(
    refs: list[SecretRef], text: str, folder: Path, env: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    written = {
        (folder / Path(name).expanduser()).resolve(): name
        for name in re.findall(r"file:([^\s\"',}\]]+)", text)
    }
    for ref in refs:
        if ref.kind == "env" and env.get(ref.name):
            yield f"env:{ref.name}", env[ref.name]
        elif ref.kind == "file" and (name := written.get(Path(ref.name).expanduser().resolve())):
            try:
                yield f"file:{name}", resolve_now(ref, env).get_secret_value()
            except SecretError as error:
                raise TransferError(str(error)) from None


def _references(value: Any) -> Iterator[SecretRef]:
    if isinstance(value, SecretRef):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _references(getattr(value, name))
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _references(inner)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TransferError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None


def seal(bundle: Bundle, passphrase: str) -> bytes:
    """The encrypted file."""
    document = zlib.compress(orjson.dumps({"files": bundle.files, "secrets": bundle.secrets}))
    salt, nonce = os.urandom(SALT), os.urandom(NONCE)
    head = MAGIC + salt
    return head + nonce + ChaCha20Poly1305(_key(passphrase, salt)).encrypt(nonce, document, head)


def unseal(data: bytes, passphrase: str) -> Bundle:
    """What `seal` has sealed. Raises TransferError for a wrong passphrase, and for anything else."""
    if not data.startswith(MAGIC[:14]):
        raise TransferError("this is no exported configuration of Detour")
    if not data.startswith(MAGIC):
        raise TransferError("this was exported by another version of Detour; update this one")
    start = len(MAGIC) + SALT
    head, nonce, sealed = data[:start], data[start : start + NONCE], data[start + NONCE :]
    if len(nonce) < NONCE or len(data) > MAX_SIZE:
        raise TransferError("the file is damaged")
    try:
        packed = ChaCha20Poly1305(_key(passphrase, head[len(MAGIC) :])).decrypt(nonce, sealed, head)
    except InvalidTag:
        raise TransferError("the passphrase is wrong, or the file is damaged") from None
    unpacker = zlib.decompressobj()
    document = orjson.loads(unpacker.decompress(packed, MAX_SIZE))
    bundle = Bundle(document["files"], document["secrets"])
    for name in bundle.files:
        parts = Path(name).parts
        if not parts or Path(name).is_absolute() or not all(_NAME.fullmatch(part) for part in parts):
            raise TransferError(f"the file holds a name that cannot be written: {name!r}")
    return bundle


def _key(passphrase: str, salt: bytes) -> bytes:
    # The cost that OWASP's cheat sheet on password storage asks for; half a second and 128 MiB.
    return Scrypt(salt, 32, n=2**17, r=8, p=1).derive(passphrase.encode())


def placed(bundle: Bundle) -> dict[str, str]:
    """The files to write, secrets among them, with the references pointing at those."""
    names: dict[str, str] = {}
    for reference in bundle.secrets:
        base = (
            re.sub(r"[^A-Za-z0-9_.-]", "_", reference.partition(":")[2].rpartition("/")[2]).lstrip(".-")
            or "secret"
        )
        name, number = base, 2
        while name in names.values():
            name, number = f"{base}-{number}", number + 1
        names[reference] = name
    files = dict(bundle.files)
    for path, text in files.items():
        for reference, name in names.items():
            text = re.sub(rf"{re.escape(reference)}(?![A-Za-z0-9_./-])", f"file:{SECRETS}/{name}", text)
        files[path] = text
    return files | {f"{SECRETS}/{name}": bundle.secrets[reference] for reference, name in names.items()}


def check(files: Mapping[str, str], folder: Path) -> Loaded:
    """Write `files` below `folder`, which is empty, and read them as a configuration. Raises ConfigError."""
    for name, text in files.items():
        path = folder / name
        private_folder(path.parent)
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
    return load(folder / "detour.yaml")
