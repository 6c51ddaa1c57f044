"""Flame graphs prove that: stacks come out whole, as text and as a picture, whatever the names are."""

from __future__ import annotations

import shutil
import subprocess
from xml.etree import ElementTree

import pytest

from tracklayer.api.profiling.flame import LEAST, MARGIN, WIDTH, flame_graph, folded
from tracklayer.api.profiling.results import Stack

STACKS = (
    Stack(("main", "update", "move"), 600),
    Stack(("main",), 300),
    Stack(("main", "update"), 50),
    Stack(("vblank",), 40),
    Stack(("main", "(waiting)"), 10),
)
SVG = "{http://www.w3.org/2000/svg}"


def frames(text: str) -> dict[tuple[str, int], tuple[float, float]]:
    """Left and width of each frame, by name and depth."""
    root = ElementTree.fromstring(text.encode())
    found = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        assert rect is not None
        place = group.attrib["data-n"], int(group.attrib["data-d"])
        assert place not in found
        found[place] = float(rect.attrib["x"]), float(rect.attrib["width"])
    return found


def test_folded_stacks_are_a_line_each() -> None:
    assert folded(STACKS).splitlines() == [
        "main;update;move 600", "main 300", "main;update 50", "vblank 40", "main;(waiting) 10",
    ]  # fmt: skip


def test_names_cannot_break_the_lines() -> None:
    assert folded([Stack(("a;b", "c\nd"), 1)]) == "a:b;c d 1\n"


def test_widths_are_shares_and_stand_above_their_callers() -> None:
    found = frames(flame_graph(STACKS, "a title"))
    unit = (WIDTH - 2 * MARGIN) / 1000
    widths = {place: round(width / unit) for place, (_, width) in found.items()}
    assert widths == {
        ("all", 0): 1000, ("main", 1): 960, ("update", 2): 650, ("move", 3): 600, ("vblank", 1): 40,
        ("(waiting)", 2): 10,
    }  # fmt: skip
    left, width = found["main", 1]
    assert found["update", 2][0] == left
    assert left <= found["(waiting)", 2][0] <= left + width
    assert found["vblank", 1][0] == pytest.approx(left + width, abs=0.02)


def test_any_name_makes_a_document_that_can_be_read() -> None:
    name = """<&>"';]]>--é\\"""
    assert (name, 1) in frames(flame_graph([Stack((name,), 5)], name))


def test_deep_stacks_and_empty_ones() -> None:
    deep = Stack(tuple(f"f{depth}" for depth in range(2000)), 7)
    assert len(frames(flame_graph([deep], "deep"))) == 2001
    assert list(frames(flame_graph([], "nothing"))) in ([], [("all", 0)])


def test_what_is_too_narrow_to_see_is_left_out() -> None:
    least = round(WIDTH / LEAST)
    found = frames(flame_graph([Stack(("wide",), 2 * least), Stack(("narrow",), 1)], "title"))
    assert ("wide", 1) in found
    assert ("narrow", 1) not in found


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = flame_graph(STACKS, "title")
    assert "href" not in text
    assert "src=" not in text
    assert [part.split('"')[0] for part in text.split("http")[1:]] == [
        "://www.w3.org/2000/svg",
        "://www.w3.org/1999/xhtml",
    ]


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node to read the script with")
def test_the_script_is_javascript(tmp_path: object) -> None:
    script = flame_graph(STACKS, "title").split("//<![CDATA[")[1].split("//]]>")[0]
    run = subprocess.run(["node", "--check", "-"], input=script, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
