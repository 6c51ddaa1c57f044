"""Eight bits as such: what a guest does to bytes, written in LLVM's terms for them.

For:     rotations, and sums whose carry is wanted, in the IR of a loop.
Not for: what the loop does (body.py).

Meanings are written in exact integers, so a sum of bytes has nine bits, and its carry is whether it is above 255. LLVM
does not find the processor's own carry behind that, nor its rotation.
"""

from __future__ import annotations

from ..compiler.program import Program
from ..compiler.text import Block
from .body import Body

ROTATE = "declare i8 @llvm.fshl.i8(i8, i8, i8)"
ADD = "declare {i8, i1} @llvm.uadd.with.overflow.i8(i8, i8)"


def narrow(program: Program, body: Body, blocks: list[Block]) -> None:
    """Rewrite the lines of a loop's blocks."""
    words = {block: [_words(line) for line in block.lines] for block in blocks}
    carried = {
        text[3]
        for lines in words.values()
        for _, text in lines
        if text[:2] == ["icmp", "ugt"] and text[-1] == "255" and body.is_sum_of_bytes(text[3])
    }
    if carried:
        program.declare(ADD)
    for block in blocks:
        kept: list[str] = []
        for line, (name, text) in zip(block.lines, words[block], strict=True):
            whole = text[2] if text[:1] == ["and"] and text[-1] == "255" else ""
            rotation = body.rotation(name) if whole else None
            if rotation:
                program.declare(ROTATE)
                kept.append(f"  {name}.t = trunc i32 {rotation[0]} to i8")
                kept.append(f"  {name}.r = call i8 @llvm.fshl.i8(i8 {name}.t, i8 {name}.t, i8 {rotation[1]})")
                kept.append(f"  {name} = zext i8 {name}.r to i32")
            elif whole in carried:
                kept.append(f"  {name} = zext i8 {whole}.v to i32")
            elif text[:2] == ["icmp", "ugt"] and text[3] in carried:
                kept.append(f"  {name} = or i1 {text[3]}.c, false")
            else:
                kept.append(line)
            if name in carried:
                kept.append(f"  {name}.a = trunc i32 {text[2]} to i8")
                kept.append(f"  {name}.b = trunc i32 {text[3]} to i8")
                kept.append(f"  {name}.s = call {{i8, i1}} @llvm.uadd.with.overflow.i8(i8 {name}.a, i8 {name}.b)")
                kept.append(f"  {name}.v = extractvalue {{i8, i1}} {name}.s, 0")
                kept.append(f"  {name}.c = extractvalue {{i8, i1}} {name}.s, 1")
        block.lines = kept


def _words(line: str) -> tuple[str, list[str]]:
    """The name that a line defines, and the words of what it is."""
    name, _, text = line.strip().partition(" = ")
    return name, text.replace(",", "").split()
