"""Paths and texts that Snakemake would take for something else.

Snakemake fills in what stands in braces: in every input that a rule names, in the texts among its parameters, and in
the paths of environments and images. And it hands the path of Python to a shell as it is.
"""

import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import Any

FORMATTED = re.compile("[{}]")
FORMATTED_OR_REFUSED = re.compile(r"[{}\s]")  # of images, whose paths Snakemake wants without white space


def plain_path(path: str | Path, links: Path, odd: re.Pattern[str] = FORMATTED) -> str:
    """`path`, or where it holds an odd character (a brace) the same through a link in the folder `links`.

    The link is named by a digest and made if need be; it is as old as what it leads to, because Snakemake takes the
    newer of both. It leads to the folder where the folder's path alone is odd, so that files that belong together stay
    together.
    """
    if not odd.search(str(path)):
        return str(path)
    given = Path(path)
    if not odd.search(given.name):
        return f"{_link(given.parent, links, '')}/{given.name}"
    return _link(given, links, "".join(re.findall(r"\.\w+", given.name)[-2:]))


def _link(target: Path, links: Path, suffix: str) -> str:
    absolute = str(target.absolute())
    link = links / (hashlib.sha256(absolute.encode()).hexdigest()[:16] + suffix)
    if not link.is_symlink():
        links.mkdir(parents=True, exist_ok=True)
        beside = link.with_name(f".{link.name}.{os.getpid()}")
        beside.symlink_to(absolute)
        if target.exists():
            changed = target.stat()
            os.utime(beside, ns=(changed.st_atime_ns, changed.st_mtime_ns), follow_symlinks=False)
        beside.replace(link)
    return link.as_posix()


def as_it_is(value: Any) -> Any:
    """A parameter whose texts stay as they are: a function, which Snakemake asks instead of filling in braces."""
    texts = value if isinstance(value, list) else [value]
    if not any(isinstance(text, str) and FORMATTED.search(text) for text in texts):
        return value

    def unchanged(wildcards: object) -> Any:
        return value

    return unchanged


def written_double(path: str) -> str:
    """A path that is itself again when Snakemake has filled in braces."""
    return path.replace("{", "{{").replace("}", "}}")


def quoted_once(program: str) -> str:
    """The path of a program for a shell; one that is quoted already is no file and stays as it is."""
    return shlex.quote(program) if Path(program).exists() else program
