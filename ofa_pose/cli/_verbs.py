"""Groups of verbs, whose help tells what each is for in a whole sentence and keeps names whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

_HELD = "\N{NON-BREAKING HYPHEN}"


class _Formatter(typer.Context.formatter_class):
    """Breaks lines between words and never at the hyphen of a name, which has to be typed."""

    def write_dl(
        self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write two columns; the first leaves the second room for a name."""
        held = [(name, _held(text)) for name, text in rows]
        super().write_dl(held, min(col_max, 2 * self.width // 5), col_spacing)

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(_held(text))

    def getvalue(self) -> str:
        """Return all that was written."""
        return super().getvalue().replace(_HELD, "-")


class _Context(typer.Context):
    formatter_class = _Formatter


def _held(text: str) -> str:
    return text.replace("-", _HELD)


class Verbs(TyperGroup):
    """A group that lists its verbs with the first paragraph of their help, not its beginning."""

    context_class = _Context

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a verb, whose help is formatted as this group's."""
        verb = super().get_command(ctx, cmd_name)
        if verb is not None:
            verb.context_class = _Context
        return verb

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        verbs = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, " ".join((verb.help or "").partition("\n\n")[0].split()))
            for name, verb in verbs
            if verb is not None
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
