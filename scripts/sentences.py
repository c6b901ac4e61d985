#!/usr/bin/env python3
"""Lists every sentence that the program can say, with the place that says it.

usage: scripts/sentences.py [FOLDER…]     (default: src; run in the project's root)

A sentence is a string literal of two words or more outside of tests, comments and attributes of clap and serde;
`{…}` stands for what is filled in. The last line counts them.
"""
import re
import sys
from pathlib import Path

# A raw string, a string with its escapes, a character, a line comment: whichever begins first.
TOKEN = re.compile(r'r(#*)"(?P<raw>.*?)"\1|"(?P<text>(?:\\.|[^"\\])*)"|\'(?:\\.|[^\'\\])\'|//[^\n]*', re.S)
TESTS = re.compile(r"\n#\[cfg\(test\)\]\s*(?:#\[path[^\n]*\n)?mod tests\b.*", re.S)


def sentences(path):
    """Pairs of line number and text of one file."""
    source = TESTS.sub("\n", path.read_text())
    for token in TOKEN.finditer(source):
        text = token["raw"] if token["raw"] is not None else token["text"]
        if text is None:
            continue
        # A backslash at the end of a line joins it with the next one.
        text = re.sub(r"\\\n\s*", "", text).replace("\\n", "\n").replace('\\"', '"')
        before = source[: token.start()].rsplit("\n", 1)[-1]
        if len(re.findall(r"[A-Za-z]{2,}", text)) < 2 or " " not in text.strip() or "expect(" in before or "reason =" in before:
            continue
        yield source.count("\n", 0, token.start()) + 1, " ".join(text.split())


def main():
    folders = sys.argv[1:] or ["src"]
    count = 0
    for folder in folders:
        for path in sorted(Path(folder).rglob("*.rs")):
            if path.name.endswith("tests.rs"):
                continue
            for line, text in sentences(path):
                count += 1
                print(f"{path}:{line}: {text}")
    print(f"{count} sentences")


if __name__ == "__main__":
    main()
