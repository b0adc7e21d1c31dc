"""The tables of docs/robustness.md."""

from __future__ import annotations

from pathlib import Path

BEGIN, END = "<!-- made by tests/robustness: begin -->", "<!-- end -->"
HEAD = ["PLC", "fault", "detected after", "recovered after", "rows made", "lost", "marked", "lost without a mark", "stale shown as good", "requests/s", "first told"]


def _time(value) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _row(cells) -> str:
    return "| " + " | ".join(str(c).replace("|", "/") for c in cells) + " |"


def table(measured, certificates) -> str:
    lines = []
    if measured:
        lines += [_row(HEAD), "|" + "---|" * len(HEAD)]
    for m in measured:
        stale = f"{m.stale:.1f} s" if any("shown as good" in f for f in m.faults) else "none"
        cells = [m.family, m.fault, _time(m.detected), _time(m.recovered), m.made, m.lost, m.marked, m.unmarked, stale, f"{m.requests:.0f}", m.status or "nothing"]
        lines.append(_row(cells))
    if certificates:
        lines += ["", _row(["certificate", "state", "recovered after trust", "what the gateway says"]), "|---|---|---|---|"]
        lines += [_row([c.fault, c.state, _time(c.recovered), c.text]) for c in certificates]
    broken = [f"- {m.family}, {m.fault}: {'; '.join(m.faults)}" for m in (*measured, *certificates) if m.faults]
    lines += ["", "Rules broken in this run:" if broken else "No rule was broken in this run.", *broken]
    return "\n".join(lines) + "\n"


def write_into(document: Path, text: str) -> None:
    old = document.read_text()
    head, mark, rest = old.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not mark or not end:
        raise SystemExit(f"`{document}` has no marks `{BEGIN}` and `{END}`")
    document.write_text(f"{head}{BEGIN}\n{text}{END}{tail}")
