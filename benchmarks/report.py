"""Write benchmarks/RESULTS.md from what was kept of each row."""

from typing import Any

INTRO = """# Measured results

One core for the server, the other for the generator (`chappe.bench`, C); ratios bind, absolute figures hold for this
machine only. Chappe runs as `chappe serve` with a token on every connection, rights, limits and history in memory; the
peers run without any of that. Each figure is the median of its rounds (smallest-largest), servers in turn; ratios
compare per CPU-second of the server. Latency is the generator's, from sending, or in an open loop from when a message
was due, to receiving. The generator polls and never sleeps, so that no server pays for waking it; its share of its core
is what it did not wait. Rows that Chappe misses are here as well, with by how much.
"""
#: Rows and columns of the table that the README shows.
SUMMARY_ROWS = ("P1", "P2", "P3", "P4")
SUMMARY = {
    "chappe": "Chappe",
    "websockets": "`websockets`",
    "picows": "picows",
    "socket.io": "socket.io",
    "bun": "Bun",
    "floor": "bare C epoll",
}


def text(kept: dict[str, Any]) -> str:
    """Return the whole report."""
    parts = [INTRO, *summary(kept), demands(kept)]
    parts += [section_text(name, entry) for name, entry in kept.items()]
    return "\n".join(parts)


def summary(kept: dict[str, Any]) -> list[str]:
    """Return the table that the README shows: medians per CPU-second of the server."""
    lines = [
        "<!-- readme: begin -->",
        "| per CPU-second of the server | " + " | ".join(SUMMARY.values()) + " |",
        "| --- |" + " --- |" * len(SUMMARY),
    ]
    for name in SUMMARY_ROWS:
        if name in kept:
            figures = kept[name]["summary"]
            cells = [f"{figures[key]:,.0f}" if key in figures else "-" for key in SUMMARY]
            lines.append(f"| {kept[name]['title']} ({kept[name]['unit']}) | " + " | ".join(cells) + " |")
    return [*lines, "<!-- readme: end -->", ""]


def demands(kept: dict[str, Any]) -> str:
    """Return one table of everything that is demanded, and whether it is met."""
    lines = ["## What is demanded", "", "| row | demanded | measured | |", "| --- | --- | --- | --- |"]
    for name, entry in kept.items():
        for demand in entry["demands"]:
            met = "met" if demand["met"] else "**missed**"
            lines.append(f"| {name} | {demand['text']} | {demand['value']:,.2f} | {met} |")
    return "\n".join([*lines, ""])


def section_text(name: str, entry: dict[str, Any]) -> str:
    """Return the section of one row."""
    versions = ", ".join(f"{library} {version}" for library, version in entry["versions"].items())
    lines = [
        f"## {name}: {entry['title']}",
        "",
        f"{entry['date']}, {entry['machine']}, {versions}; `{entry['command']}`.",
        "",
    ]
    for table in entry["tables"]:
        head, *body = table
        lines += ["| " + " | ".join(head) + " |", "| --- |" + " --- |" * (len(head) - 1)]
        lines += ["| " + " | ".join(row) + " |" for row in body]
        lines.append("")
    for demand in entry["demands"]:
        verdict = "met" if demand["met"] else "missed"
        lines.append(f"- Demanded: {demand['text']}; measured {demand['value']:,.2f}: {verdict}.")
    lines += [f"- {note}" for note in entry["notes"]]
    return "\n".join([*lines, ""])
