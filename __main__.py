"""The `cloister` command: a table of commands, each of which lives with the part that it commands."""

from __future__ import annotations

import difflib
import sys
from importlib import import_module

import click

from .observer.errors import CloisterError

# Command name -> module and attribute. Imported when called, so that `cloister db` needs no Flask.
COMMANDS = {
    "adopt": ("cloister.observer.adoption.adopt_command", "adopt"),
    "audit": ("cloister.observer.audit.audit_command", "audit"),
    "db": ("cloister.observer.embedded.db_command", "db"),
    "diff": ("cloister.observer.terminal.diff_command", "diff"),
    "doctor": ("cloister.observer.doctor_command", "doctor"),
    "forget-key": ("cloister.observer.encryption.keys_command", "forget_key"),
    "hold": ("cloister.observer.retention.trash_command", "hold"),
    "journal": ("cloister.observer.journal_command", "journal"),
    "keys": ("cloister.observer.encryption.keys_command", "keys"),
    "ls": ("cloister.observer.terminal.ls_command", "ls"),
    "person": ("cloister.observer.retention.person_command", "person"),
    "queue": ("cloister.decorators.worker.queue_command", "queue"),
    "redact": ("cloister.observer.redaction.redact_command", "redact"),
    "retention": ("cloister.observer.retention.retention_command", "retention"),
    "run": ("cloister.decorators.run_command", "run"),
    "serve": ("cloister.viewer.serve_command", "serve"),
    "show": ("cloister.observer.terminal.show_command", "show"),
    "status": ("cloister.observer.status_command", "status"),
    "stop": ("cloister.observer.stop_command", "stop"),
    "sync": ("cloister.observer.sync_command", "sync"),
    "tail": ("cloister.observer.terminal.tail_command", "tail"),
    "token": ("cloister.viewer.accounts.token_command", "token"),
    "top": ("cloister.observer.terminal.top_command", "top"),
    "trash": ("cloister.observer.retention.trash_command", "trash"),
    "user": ("cloister.viewer.accounts.user_command", "user"),
    "worker": ("cloister.decorators.worker.worker_command", "worker"),
}


# A training node has none of them.
VIEWER_MODULES = ("flask", "bokeh", "tornado", "jinja2", "markupsafe", "pygments", "pandas", "argon2")


class _Commands(click.Group):
    """Looks commands up in the table and prints our own errors as a sentence instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            nearest = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else f"There are {', '.join(COMMANDS)}."
            ctx.fail(f"There is no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except CloisterError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            if error.name not in VIEWER_MODULES:
                raise
            raise click.ClickException(
                f"The dashboard needs {error.name}, which is not installed here. Install the part that shows runs: "
                "pip install 'cloister[viewer]'"
            ) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="cloister", prog_name="cloister")
def main() -> None:
    """Cloister records experiments into your own MongoDB and shows them in your own building."""


if __name__ == "__main__":
    sys.exit(main(prog_name="cloister"))
