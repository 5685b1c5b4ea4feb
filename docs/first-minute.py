#!/usr/bin/env python3
"""Draws docs/first-minute.svg: the first command of README.md and what it prints in a terminal.

With --check nothing is written: it fails if the picture differs from a new run in more than ids
and times. Lines that are wider than the picture are cut, as in a terminal that does not wrap.
"""

import html
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs/first-minute.svg"
COLUMNS, CHARACTER, LINE, MARGIN, BAR = 96, 8.4, 19, 16, 30


def first_command():
    """The first line of the first shell block of README.md."""
    return re.search(r"^```sh\n(.*)\n", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)[1]


def run(command):
    """What the command prints in a terminal, without cargo's own lines."""
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("GCHAT_", "GOOGLE_", "NO_COLOR"))}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(["sh", "-c", command], cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs,
                               env=environment | {"CARGO_TERM_QUIET": "true", "TERM": "xterm"})
    os.close(theirs)
    printed = b""
    try:
        while piece := os.read(ours, 65_536):
            printed += piece
    except OSError:
        pass  # Linux says so that nobody holds the terminal any more
    if process.wait() != 0:
        sys.exit(f"failed: {command}\n{printed.decode(errors='replace')}")
    return printed.decode().replace("\r\n", "\n").rstrip("\n").split("\n")


def cut(line):
    """A line as pieces of (style, text) that fit the picture."""
    pieces, style, room = [], "", COLUMNS
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            style = {"2": "dim", "1": "bold"}.get(part[2:-1], "")
        elif part and room > 0:
            text = part if len(part) <= room else part[: room - 1] + "…"
            pieces.append((style, text))
            room -= len(text)
    return pieces


def draw(command, lines):
    rows = [[("prompt", "$ "), ("bold", command)], *map(cut, lines)]
    width, height = int(COLUMNS * CHARACTER + 2 * MARGIN), BAR + len(rows) * LINE + MARGIN
    texts = []
    for number, pieces in enumerate(rows, 1):
        spans = "".join(f'<tspan class="{style}">{html.escape(text, quote=False)}</tspan>' if style else
                        html.escape(text, quote=False) for style, text in pieces)
        texts.append(f'<text xml:space="preserve" x="{MARGIN}" y="{BAR + number * LINE - 6}">{spans}</text>')
    dots = "".join(f'<circle cx="{MARGIN + 4 + 18 * at}" cy="16" r="5" fill="{color}"/>'
                   for at, color in enumerate(["#ff5f57", "#febc2e", "#28c840"]))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">
<title>A space is created in a terminal</title>
<style>
text {{ font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #e6edf3; white-space: pre }}
.dim {{ fill: #8b949e }} .bold {{ font-weight: bold }} .prompt {{ fill: #3fb950 }}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#0d1117"/>
{dots}
{chr(10).join(texts)}
</svg>
"""


def without_ids(picture):
    picture = re.sub(r"(spaces|room)/[\w-]{11}", r"\1/ID", picture)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", picture)


def main():
    command = first_command()
    picture = draw(command, run(command))
    if sys.argv[1:] != ["--check"]:
        PICTURE.write_text(picture, encoding="utf-8")
    elif without_ids(picture) != without_ids(PICTURE.read_text(encoding="utf-8")):
        sys.exit(f"{PICTURE.relative_to(ROOT)} is not what the command prints now: run docs/first-minute.py")


if __name__ == "__main__":
    main()
