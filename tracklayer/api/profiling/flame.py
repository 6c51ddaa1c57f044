"""Call stacks as text and as a picture.

For:     folded stacks, which flame graph tools read; a flame graph as an SVG document that needs nothing else.
Not for: finding the stacks (guest_time.py).

A frame's width is its share of cycles; what it called stands above it, the largest to the left. Its colour says nothing
but which frames have the same name. A click on a frame shows it across the whole width; the text field marks the frames
whose names hold what is written there.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape, quoteattr

from .results import Stack

WIDTH, ROW, MARGIN, TOP = 1200, 18, 10, 56
LEAST = 0.1
"""Frames narrower than so many units are left out."""
CHARACTER = 6.6
"""Units of width that a character of a label takes."""


def folded(stacks: Iterable[Stack]) -> str:
    """A line for each stack: its frames from the outermost on, with semicolons between, a space, the cycles."""
    return "".join(f"{';'.join(_plain(name) for name in one.frames)} {one.cycles}\n" for one in stacks)


def _plain(name: str) -> str:
    """A name as the format can hold it."""
    return name.replace(";", ":").replace("\n", " ")


class _Node:
    """A frame with the same frames below it, and what it called."""

    def __init__(self) -> None:
        self.cycles = 0
        self.above: dict[str, _Node] = {}


class _Box(NamedTuple):
    name: str
    depth: int
    start: int
    cycles: int


def _tree(stacks: Iterable[Stack]) -> _Node:
    root = _Node()
    for one in stacks:
        node = root
        node.cycles += one.cycles
        for name in one.frames:
            node = node.above.setdefault(name, _Node())
            node.cycles += one.cycles
    return root


def _boxes(root: _Node) -> Iterator[_Box]:
    """All frames, the outermost first. Not recursive: a guest's stacks may be deep."""
    waiting = [("all", root, 0, 0)]
    while waiting:
        name, node, depth, start = waiting.pop()
        yield _Box(name, depth, start, node.cycles)
        at = start
        for above, child in sorted(node.above.items(), key=lambda item: (-item[1].cycles, item[0])):
            waiting.append((above, child, depth + 1, at))
            at += child.cycles


def _colour(name: str) -> str:
    mixed = zlib.crc32(name.encode())
    if name.startswith("("):
        return f"rgb({150 + mixed % 30},{165 + (mixed >> 8) % 30},{185 + (mixed >> 16) % 30})"
    return f"rgb({205 + mixed % 50},{90 + (mixed >> 8) % 120},{30 + (mixed >> 16) % 40})"


def flame_graph(stacks: Iterable[Stack], title: str) -> str:
    """An SVG document."""
    root = _tree(stacks)
    total = root.cycles or 1
    scale = (WIDTH - 2 * MARGIN) / total
    boxes = [box for box in _boxes(root) if box.cycles * scale >= LEAST]
    height = TOP + (max((box.depth for box in boxes), default=0) + 1) * ROW + 2 * MARGIN + ROW
    floor = height - MARGIN - 2 * ROW
    parts = [_HEAD.format(width=WIDTH, height=height, title=escape(title), margin=MARGIN, foot=height - MARGIN)]
    for box in boxes:
        x, y, width = MARGIN + box.start * scale, floor - box.depth * ROW, box.cycles * scale
        hint = f"{box.name}: {box.cycles:,} cycles, {100 * box.cycles / total:.2f} %"
        shown = _fitting(box.name, width)
        parts.append(
            f'<g class="f" data-n={quoteattr(box.name)} data-s="{box.start}" data-c="{box.cycles}"'
            f' data-d="{box.depth}"><title>{escape(hint)}</title>'
            f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" rx="1.5" fill="{_colour(box.name)}"/>'
            f'<text x="{x + 3:.2f}" y="{y + 12.5}">{escape(shown)}</text></g>\n'
        )
    parts.append(_SCRIPT.format(total=total, width=WIDTH, margin=MARGIN, character=CHARACTER) + "</svg>\n")
    return "".join(parts)


def _fitting(name: str, width: float) -> str:
    """As much of a name as has room."""
    room = int((width - 6) / CHARACTER)
    return name if len(name) <= room else name[: room - 1] + "…" if room >= 3 else ""


_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="100%"
 font-family="monospace" font-size="11">
<style>.f {{ cursor: pointer }} .f:hover rect {{ stroke: #000; stroke-width: 0.8 }} .f text {{ pointer-events: none }}
.marked rect {{ fill: #c050f0 }} .below rect {{ opacity: 0.5 }} .away {{ display: none }}</style>
<rect width="100%" height="100%" fill="#fdfdf6"/>
<text x="{margin}" y="20" font-size="14">{title}</text>
<foreignObject x="{margin}" y="28" width="320" height="24"><input xmlns="http://www.w3.org/1999/xhtml" id="find"
 placeholder="mark names with ..." style="font: 11px monospace; width: 300px"/></foreignObject>
<text id="reset" class="f away" x="340" y="44">show all</text>
<text id="hint" x="{margin}" y="{foot}"> </text>
"""

_SCRIPT = """<script>
//<![CDATA[
const total = {total}, width = {width} - 2 * {margin}, margin = {margin};
const frames = [...document.querySelectorAll("g.f")], hint = document.getElementById("hint");
const reset = document.getElementById("reset"), find = document.getElementById("find");
function show(start, cycles, depth) {{
  const scale = width / cycles;
  for (const g of frames) {{
    const s = +g.dataset.s, c = +g.dataset.c, d = +g.dataset.d;
    const below = d < depth && s <= start && s + c >= start + cycles;
    const inside = d >= depth && s >= start && s + c <= start + cycles;
    g.classList.toggle("away", !below && !inside);
    g.classList.toggle("below", below);
    const x = below ? margin : margin + (s - start) * scale, w = below ? width : c * scale;
    g.querySelector("rect").setAttribute("x", x);
    g.querySelector("rect").setAttribute("width", Math.max(w, 0.1));
    const text = g.querySelector("text"), room = Math.floor((w - 6) / {character}), name = g.dataset.n;
    text.setAttribute("x", x + 3);
    text.textContent = name.length <= room ? name : room >= 3 ? name.slice(0, room - 1) + "\\u2026" : "";
  }}
  reset.classList.toggle("away", depth == 0);
}}
for (const g of frames) {{
  g.addEventListener("click", () => show(+g.dataset.s, +g.dataset.c, +g.dataset.d));
  g.addEventListener("mouseenter", () => {{ hint.textContent = g.querySelector("title").textContent; }});
}}
reset.addEventListener("click", () => show(0, total, 0));
find.addEventListener("input", () => {{
  const wanted = find.value.toLowerCase();
  for (const g of frames) g.classList.toggle("marked", wanted != "" && g.dataset.n.toLowerCase().includes(wanted));
}});
//]]>
</script>
"""
