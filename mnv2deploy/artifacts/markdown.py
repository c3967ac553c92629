"""Text that means what it says wherever it stands in Markdown or YAML: the filters of the release's templates."""

from __future__ import annotations

import re

# What GitHub's Markdown makes something of inside a line; `_` only where it does not stand inside a word.
_SPECIAL = re.compile(r"[\\`*\[\]<>&|~#$]|(?<![^\W_])_|_(?![^\W_])")
_FIRST = re.compile(r"^([-+=])|^(\d+)([.)])")


def as_text(text: str) -> str:
    """Text as one line of Markdown, in a paragraph or a cell of a table: nothing in it is markup."""
    line = " ".join(text.split())
    escaped = _SPECIAL.sub(r"\\\g<0>", line)
    return _FIRST.sub(lambda match: f"\\{match[1]}" if match[1] else f"{match[2]}\\{match[3]}", escaped)


def as_code(text: str) -> str:
    """Text as code, in a line or a cell of a table."""
    line = " ".join(text.split()).replace("|", "\\|")
    longest = max((len(ticks) for ticks in re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def as_yaml(text: str) -> str:
    """Text as a double-quoted scalar of YAML 1.1 or 1.2, on one line, all of it in plain sight."""
    return f'"{"".join(map(_yaml_character, text))}"'


def _yaml_character(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
