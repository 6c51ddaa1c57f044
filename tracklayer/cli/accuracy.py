"""The accuracy page: what `tracklayer judge` found, as Markdown.

For:     a table of every suite by model and engine, then each failure with what is known about it.
Not for: judging (ways.py).
"""

from __future__ import annotations

import datetime
import fnmatch
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

LONGEST_REASON = 110


class Note(NamedTuple):
    """What is known about the failures whose path, and model, it fits."""

    path: str
    """A glob, as `judge --path` takes it."""
    model: str | None
    text: str

    def fits(self, entry: dict[str, Any]) -> bool:
        return fnmatch.fnmatch(entry["path"], self.path) and self.model in (None, entry["model"])


def read_notes(file: Path) -> list[Note]:
    """The notes of a JSON file: a list of objects with `path`, `note` and perhaps `model`. The first that fits counts.

    Errors: click.ClickException, with what is wrong.
    """
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
        return [Note(str(row["path"]), row.get("model"), str(row["note"])) for row in rows]
    except OSError as error:
        raise click.ClickException(f"cannot read {file}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{file} is no list of notes: {error!r}") from None


def page(results: Sequence[dict[str, Any]], notes: Sequence[Note], day: datetime.date) -> str:
    """The whole page. `results` are those of one or several engines."""
    engines = list(dict.fromkeys(entry["engine"] for entry in results))
    lines = [
        "# Accuracy",
        "",
        f"Made by `tracklayer judge MANIFEST --markdown FILE` on {day.isoformat()}, with the "
        f"engine{'s' if len(engines) > 1 else ''} {' and '.join(engines)}. Every program that the manifest lists was "
        "run once for each model that its result is meant for. A cell says how many passed of those that could be "
        "judged.",
        "",
        *_table(results, engines),
        "",
        *_disagreements(results, engines),
        *_failures(results, engines, notes),
        *_unjudged(results, engines),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _head(cells: Sequence[str], numbers: int) -> list[str]:
    return [_row(cells), _row(["---"] * (len(cells) - numbers) + ["---:"] * numbers)]


def _cell(counts: Counter[str]) -> str:
    judged = counts["pass"] + counts["fail"]
    if not judged:
        return "none judged"
    return f"all {judged}" if not counts["fail"] else f"{counts['pass']} of {judged}"


def _table(results: Sequence[dict[str, Any]], engines: Sequence[str]) -> list[str]:
    counts: dict[tuple[str, str], dict[str, Counter[str]]] = {}
    for entry in results:
        by_engine = counts.setdefault((entry["suite"], entry["model"]), {name: Counter() for name in engines})
        by_engine[entry["engine"]][entry["verdict"]] += 1
    lines = _head(["suite", "model", *engines, "unjudged"], len(engines) + 1)
    totals: dict[str, Counter[str]] = {name: Counter() for name in engines}
    for (suite, model), by_engine in sorted(counts.items()):
        unjudged = by_engine[engines[0]]["unjudged"]
        lines.append(_row([suite, model, *(_cell(by_engine[name]) for name in engines), str(unjudged or "")]))
        for name in engines:
            totals[name] += by_engine[name]
    unjudged = totals[engines[0]]["unjudged"]
    lines.append(_row(["**all**", "", *(f"**{_cell(totals[name])}**" for name in engines), f"**{unjudged}**"]))
    return lines


def _disagreements(results: Sequence[dict[str, Any]], engines: Sequence[str]) -> list[str]:
    if len(engines) < 2:
        return []
    verdicts: dict[tuple[str, str], set[str]] = {}
    for entry in results:
        verdicts.setdefault((entry["path"], entry["model"]), set()).add(entry["verdict"])
    differing = [f"- `{path}` ({model})" for (path, model), found in verdicts.items() if len(found) > 1]
    if not differing:
        return ["The engines give the same verdict on every program.", ""]
    return ["The engines disagree about:", "", *differing, ""]


def _failures(results: Sequence[dict[str, Any]], engines: Sequence[str], notes: Sequence[Note]) -> list[str]:
    failed = [entry for entry in results if entry["verdict"] == "fail" and entry["engine"] == engines[0]]
    if not failed:
        return ["## Failures", "", "None.", ""]
    lines = ["## Failures", "", f"As the {engines[0]} engine ran them. Notes say what is known.", ""]
    for suite in dict.fromkeys(entry["suite"] for entry in failed):
        mine = [entry for entry in failed if entry["suite"] == suite]
        lines += [f"### {suite}: {len(mine)}", ""]
        by_note: dict[str, list[dict[str, Any]]] = {}
        for entry in mine:
            text = next((note.text for note in notes if note.fits(entry)), "Nothing is known yet.")
            by_note.setdefault(text, []).append(entry)
        for text, entries in by_note.items():
            lines += [text, "", *_head(["program", "model", "what came out"], 0)]
            for entry in entries:
                name = entry["path"].rpartition("::")[2].removeprefix(f"gb/{suite}/")
                lines.append(_row([f"`{name}`", entry["model"], _shortened(entry["reason"])]))
            lines.append("")
    return lines


def _shortened(reason: str) -> str:
    reason = " ".join(reason.split())
    return reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 3] + "..."


def _unjudged(results: Sequence[dict[str, Any]], engines: Sequence[str]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for entry in results:
        if entry["verdict"] == "unjudged" and entry["engine"] == engines[0]:
            name = entry["path"].rpartition("/")[2].rpartition("::")[2]
            reasons.setdefault(entry["reason"], []).append(f"`{name}` ({entry['model']})")
    if not reasons:
        return []
    lines = ["## Not judged", ""]
    for reason, names in reasons.items():
        lines.append(f"- {reason}: {', '.join(names)}")
    return lines
