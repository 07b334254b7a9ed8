"""`cloister token`: what scripts sign in with."""

from __future__ import annotations

import click

from .command_place import accounts_database, day, note_command, print_rows, uri_option


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def token() -> None:
    """Tokens for scripts: Authorization: Bearer clst_... lets them read /api/v1 as somebody."""


@token.command()
@click.argument("user")
@click.option("--name", required=True, help="What it is for, such as 'nightly export'.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "record", "admin"]),
    default=("read",),
    show_default=True,
    help="read: see runs. record: write beside runs. admin: manage, as far as the person may. May be repeated.",
)
@click.option("--project", "projects", multiple=True, help="Limit it to this project. May be repeated.")
@click.option("--days", default=90.0, show_default=True, help="How long it lasts; a year at most.")
@uri_option
def make(
    user: str, name: str, scopes: tuple[str, ...], projects: tuple[str, ...], days: float, uri: str | None
) -> None:
    """Make a token of USER and print it, alone, on standard output. It is shown this once."""
    from .tokens import check_token, make_token
    from .users import load_active_user

    with accounts_database(uri) as database:
        owner = load_active_user(database, user)
        limits = projects or None
        check_token(name=name, scopes=scopes, projects=limits, days=days)
        details = {"name": name, "scopes": sorted(scopes), "projects": sorted(projects), "days": days}
        note_command(database, "token-made", f"user {owner.name}", **details)
        text, made = make_token(database, owner.name, name=name, scopes=scopes, projects=limits, days=days)
    click.echo(text)
    click.echo(f"Token {made.key} of {owner.name} lasts until {day(made.expires_at)}. It is not shown again.", err=True)


@token.command("ls")
@click.argument("user", required=False)
@uri_option
def list_all(user: str | None, uri: str | None) -> None:
    """List the tokens of USER, or of everybody: not what opens them, which nobody knows."""
    from .tokens import list_tokens
    from .users import load_user

    with accounts_database(uri) as database:
        tokens = list_tokens(database, load_user(database, user).name if user else None)
    if not tokens:
        click.echo("There are no tokens.")
        return
    rows = [
        (
            one.key,
            one.user,
            one.name,
            "+".join(sorted(one.scopes)),
            "all" if one.projects is None else ", ".join(sorted(one.projects)),
            f"{'expired' if one.has_expired() else 'until'} {day(one.expires_at)}",
            f"used {day(one.last_used_at)}" if one.last_used_at else "never used",
        )
        for one in tokens
    ]
    print_rows(("token", "of", "for", "scopes", "projects", "lasts", "used"), rows)


@token.command()
@click.argument("key")
@uri_option
def revoke(key: str, uri: str | None) -> None:
    """Void a token, by the eight signs that 'cloister token ls' shows."""
    from .tokens import load_token, revoke_token

    with accounts_database(uri) as database:
        found = load_token(database, key)
        note_command(database, "token-revoked", f"user {found.user}", token=found.key, name=found.name)
        revoke_token(database, found.key)
    click.echo(f"Token {found.key} of {found.user} is void.")
