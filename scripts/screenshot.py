#!/usr/bin/env python3
"""Takes a picture of a running terminal program: starts it on a pseudo-terminal, types, and draws
what its screen shows as a PNG.

usage: screenshot.py [--size 120x36] [--until REGEX] [--keys TEXT] [--then REGEX] [--wait S]
                     [--light] --out FILE.png -- PROGRAM [ARGS…]

  --until   wait until the screen matches
  --wait    then let so many seconds go by, so that curves have something to show
  --keys    then type this; \\r, \\x1b and so on as in Python
  --then    wait until the screen matches after typing

Needs: pip install pyte pillow; a monospaced font that has box drawing and symbols (DejaVu Sans Mono).
"""
import argparse, fcntl, os, pty, re, select, signal, struct, sys, termios, time
import pyte
from PIL import Image, ImageDraw, ImageFont

DARK = {"default": ("d0d0d0", "101418"), "base": [
    "1c1f24", "ff5f5f", "87d787", "ffd75f", "87afff", "d787d7", "5fd7d7", "d0d0d0",
    "6c7078", "ff8787", "afffaf", "ffff87", "afd7ff", "ffafff", "afffff", "ffffff"]}
LIGHT = {"default": ("202428", "fcfcfa"), "base": [
    "202428", "d70000", "008700", "875f00", "005faf", "870087", "005f87", "808488",
    "a0a4a8", "d75f5f", "5faf5f", "af8700", "5f87d7", "af5faf", "5fafaf", "101214"]}
NAMES = ["black", "red", "green", "brown", "blue", "magenta", "cyan", "white"]
FONTS = [
    "/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf",
    "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/noto/NotoSansSymbols2-Regular.ttf",
    "/System/Library/Fonts/Menlo.ttc",
]
CELL_W, CELL_H, POINT = 10, 21, 16


class Terminal:
    def __init__(self, argv, columns, rows):
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLORTERM="truecolor")
            os.environ.pop("NO_COLOR", None)
            os.execvp(argv[0], argv)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def pump(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self.fd], [], [], max(0, min(0.05, end - time.monotonic())))[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return False
            # pyte knows neither synchronized updates nor other private modes it was not told of.
            self.stream.feed(re.sub(rb"\x1b\[\?2026[hl]", b"", data))
        return True

    def wait(self, regex, seconds=60):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            alive = self.pump(0.1)
            if re.search(regex, "\n".join(self.screen.display)):
                return
            if not alive:
                break
        sys.exit(f"waited for {regex!r}; the screen:\n" + "\n".join(self.screen.display))

    def close(self):
        os.kill(self.pid, signal.SIGTERM)
        self.pump(3)
        try:
            os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:
            pass


def color(name, theme, fallback):
    if name == "default":
        return fallback
    bright = name.startswith("bright")
    plain = name.removeprefix("bright")
    if plain in NAMES:
        return theme["base"][NAMES.index(plain) + 8 * bright]
    return name


def fonts():
    found = [(ImageFont.truetype(path, POINT), path) for path in FONTS if os.path.exists(path)]
    if not found:
        sys.exit("no monospaced font was found; add one to FONTS")
    bold = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf"
    return [font for font, _ in found], ImageFont.truetype(bold, POINT) if os.path.exists(bold) else found[0][0]


def has(font, char, cache={}):
    """A font draws what it lacks as a box: compare with that."""
    key = (id(font), char)
    if key not in cache:
        cache[key] = char.isspace() or bytes(font.getmask(char)) != bytes(font.getmask("\u0378"))
    return cache[key]


def block(draw, char, x, y, fill):
    """Blocks and bars fill their cell, whatever the font thinks."""
    code = ord(char)
    w, h = CELL_W, CELL_H
    if 0x2581 <= code <= 0x2588:
        top = y + h - round(h * (code - 0x2580) / 8)
        draw.rectangle([x, top, x + w - 1, y + h - 1], fill=fill)
    elif 0x2589 <= code <= 0x258f:
        draw.rectangle([x, y, x + round(w * (0x2590 - code) / 8) - 1, y + h - 1], fill=fill)
    elif 0x2591 <= code <= 0x2593:
        step = {0x2591: 4, 0x2592: 3, 0x2593: 2}[code]
        for dy in range(0, h, step):
            for dx in range((dy // step) % 2 * (step // 2), w, step):
                draw.point((x + dx, y + dy), fill=fill)
                if code != 0x2591:
                    draw.point((x + dx + 1, y + dy), fill=fill)
    elif char == "⏸":  # few fonts have it
        for px in (x + 1, x + 6):
            draw.rectangle([px, y + 5, px + 2, y + h - 6], fill=fill)
    elif 0x2800 <= code <= 0x28ff:
        places = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3)]
        for bit, (dx, dy) in enumerate(places):
            if (code - 0x2800) >> bit & 1:
                px, py = x + 2 + dx * 5, y + 2 + dy * 5
                draw.rectangle([px, py, px + 2, py + 2], fill=fill)
    else:
        return False
    return True


def line(draw, char, x, y, fill):
    """Box drawing joins from cell to cell."""
    arms = {"─": "lr", "│": "ud", "┌": "rd", "┐": "ld", "└": "ru", "┘": "lu", "├": "udr", "┤": "udl", "┬": "lrd",
            "┴": "lru", "╭": "rd", "╮": "ld", "╰": "ru", "╯": "lu"}.get(char)
    if not arms:
        return False
    cx, cy = x + CELL_W // 2, y + CELL_H // 2
    ends = {"l": (x, cy), "r": (x + CELL_W, cy), "u": (cx, y), "d": (cx, y + CELL_H)}
    for arm in arms:
        draw.line([(cx, cy), ends[arm]], fill=fill)
    return True


def picture(screen, theme):
    image = Image.new("RGB", (screen.columns * CELL_W + 16, screen.lines * CELL_H + 16), "#" + theme["default"][1])
    draw = ImageDraw.Draw(image)
    regular, bold = fonts()
    for row in range(screen.lines):
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            fg = "#" + color(cell.fg, theme, theme["default"][0])
            bg = "#" + color(cell.bg, theme, theme["default"][1])
            if cell.reverse:
                fg, bg = bg, fg
            x, y = 8 + column * CELL_W, 8 + row * CELL_H
            wide = column + 1 < screen.columns and screen.buffer[row][column + 1].data == ""
            if bg != "#" + theme["default"][1]:
                draw.rectangle([x, y, x + CELL_W * (2 if wide else 1) - 1, y + CELL_H - 1], fill=bg)
            for char in cell.data[:1]:
                if char == " " or block(draw, char, x, y, fg) or line(draw, char, x, y, fg):
                    continue
                font = bold if cell.bold and has(bold, char) else next((f for f in regular if has(f, char)), regular[0])
                draw.text((x, y + CELL_H - 5), char, font=font, fill=fg, anchor="ls")
            if cell.strikethrough:
                draw.line([(x, y + CELL_H // 2), (x + CELL_W, y + CELL_H // 2)], fill=fg)
    return image


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x36")
    parser.add_argument("--until")
    parser.add_argument("--keys")
    parser.add_argument("--then")
    parser.add_argument("--wait", type=float, default=0)
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--out", required=True)
    parser.add_argument("argv", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    argv = args.argv[1:] if args.argv[:1] == ["--"] else args.argv
    columns, rows = map(int, args.size.split("x"))
    terminal = Terminal(argv, columns, rows)
    try:
        if args.until:
            terminal.wait(args.until)
        terminal.pump(args.wait)
        if args.keys:
            for key in re.findall(r"\\x..|\\.|.", args.keys):
                os.write(terminal.fd, key.encode().decode("unicode_escape").encode("latin-1"))
                terminal.pump(0.3)
        if args.then:
            terminal.wait(args.then)
        terminal.pump(0.5)
        picture(terminal.screen, LIGHT if args.light else DARK).save(args.out, optimize=True)
        print(f"wrote {args.out}")
    finally:
        terminal.close()


if __name__ == "__main__":
    main()
