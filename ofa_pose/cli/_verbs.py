"""Groups of verbs, whose help tells what each is for in a whole sentence."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup


class Verbs(TyperGroup):
    """A group that lists its verbs with the first paragraph of their help, not its beginning."""

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
