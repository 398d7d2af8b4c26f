"""Converse in a terminal: an edited line with history below, what happens above, the state in the last line."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from prompt_toolkit import PromptSession, print_formatted_text
from prompt_toolkit.application import get_app_or_none
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.renderer import print_formatted_text as render_text
from prompt_toolkit.styles import Style

from chappe.cli.connect import slash
from chappe.cli.connect.happenings import Happening
from chappe.cli.connect.status import Status
from chappe.cli.connect.views import describe, lay_out
from chappe.telemetry import escape

_MARKS = {"sent": ">", "received": "<", "said": "<", "error": "!", "gave_up": "!", "joined": "+", "left": "-"}
_STYLE = Style.from_dict(
    {
        "time": "ansibrightblack",
        "sent": "ansigreen",
        "received": "ansicyan",
        "said": "",
        "who": "bold",
        "error": "ansired",
        "gave_up": "ansired",
        "disconnected": "ansiyellow",
        "reconnecting": "ansiyellow",
        "connected": "ansigreen",
        "other": "ansibrightblack",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)


class TerminalView:
    """Print happenings above the line that is being edited, in colour unless NO_COLOR is set."""

    def __init__(self, *, pretty: bool = False) -> None:
        self.pretty = pretty

    def show(self, happening: Happening) -> None:
        """Print one happening with its local time."""
        local = happening.time.astimezone()
        kind = happening.kind
        style = f"class:{kind}" if kind in _STYLED else "class:other"
        clock = f"{local:%H:%M:%S}.{local.microsecond // 1000:03d} "
        parts = [("class:time", clock), (style, f"{_MARKS.get(kind, '*')} ")]
        if kind == "said":
            parts += [("class:who", escape(happening.who)), (style, f": {escape(happening.text)}")]
        else:
            parts.append((style, self._text(happening)))
        _print_above(FormattedText(parts))

    def _text(self, happening: Happening) -> str:
        text = describe(happening)
        if self.pretty and happening.kind in ("sent", "received") and happening.data is None:
            text = lay_out(text)
        return "\n".join(escape(line) for line in text.split("\n"))


def _print_above(text: FormattedText) -> None:
    """Print a line above the one being edited.

    Not by prompt_toolkit's `run_in_terminal`: it gives the keyboard back to the system for a moment, and what is typed
    in that moment, Ctrl-D above all, is lost.
    """
    app = get_app_or_none()
    if app is None or not app.is_running:
        print_formatted_text(text, style=_STYLE, color_depth=_color_depth())
        return
    app.renderer.erase()
    render_text(app.output, FormattedText([*text, ("", "\n")]), _STYLE, color_depth=app.color_depth)
    app.renderer.request_absolute_cursor_position()
    app.invalidate()


_STYLED = frozenset(name for name, _ in _STYLE.style_rules)


class Prompt:
    """Read lines with editing and history until the person leaves or `leave` is called."""

    def __init__(self, status: Status) -> None:
        self._status = status
        words = [name.split(" ")[0] for name in slash.COMMANDS]
        self._session: PromptSession[str] = PromptSession(
            "> ",
            history=_history(),
            auto_suggest=AutoSuggestFromHistory(),
            completer=WordCompleter(words, sentence=True),
            complete_while_typing=False,
            erase_when_done=True,  # the view shows what was sent, with its time
            bottom_toolbar=self._toolbar,
            refresh_interval=1.0,
            style=_STYLE,
            color_depth=_color_depth(),
        )

    async def read_lines(self, typed: Callable[[str], Awaitable[bool]]) -> None:
        """Call `typed` with each line, in order; return when it says False, or at Ctrl-D.

        Raises:
            KeyboardInterrupt: Ctrl-C.
        """
        # Raw mode all the time, so that no key pressed between two prompts goes to the system instead of to us.
        with patch_stdout(raw=True), self._session.app.input.raw_mode():
            while True:
                try:
                    line = await self._session.prompt_async()
                except EOFError:
                    return
                if not await typed(line):
                    return

    def redraw(self) -> None:
        """Show the present state in the last line."""
        self._session.app.invalidate()

    def _toolbar(self) -> str:
        return self._status.line()


def _history() -> History:
    """Keep what was typed in the user's state directory, readable by the user only."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "chappe"
    file = state / "connect_history"
    try:
        state.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(file)


def _color_depth() -> ColorDepth | None:
    return ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None
