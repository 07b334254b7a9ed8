"""`cloister user`: who may use the viewer. The first account is made here, on the console; there is no default one."""

from __future__ import annotations

import click

from .command_place import accounts_database, day, note_command, print_rows, read_password, uri_option

password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def user() -> None:
    """People who may use the viewer. As long as there is nobody, everybody on this machine sees all."""


@user.command()
@click.argument("name")
@click.option("--full-name", default="", help="As pages show the person.")
@click.option("--email", default="", help="For people to reach the person; Cloister sends no mail.")
@click.option("--admin", is_flag=True, help="May do everything, and sees all runs. The first account is one anyway.")
@click.option("--auditor", is_flag=True, help="Reads the audit log and nothing else.")
@click.option("--no-password", is_flag=True, help="Nobody signs in yet; 'cloister user passwd' gives a password later.")
@password_stdin
@uri_option
def add(
    name: str,
    full_name: str,
    email: str,
    admin: bool,
    auditor: bool,
    no_password: bool,
    password_stdin: bool,
    uri: str | None,
) -> None:
    """Make an account. The password is asked for; it is never an argument."""
    from .account_changes import prepare_account  # these spare `--help` argon2 and the list of passwords
    from .users import has_users

    site = [right for right, given in (("admin", admin), ("auditor", auditor)) if given]
    with accounts_database(uri) as database:
        is_first = not has_users(database)
        prepared = prepare_account(database, name, full_name=full_name, email=email, site=site)
        password = None if no_password else read_password(password_stdin, f"Password of {prepared.name}")
        prepared.check(password)
        note_command(database, "user-added", f"user {prepared.name}", site=sorted(prepared.site))
        made = prepared.make(password)
    click.echo(f"{made.name} {'administers the site' if 'admin' in made.site else 'has an account'}.")
    if is_first:
        click.echo("From now on everybody has to sign in, on this machine too. Add people with 'cloister user add'.")


@user.command()
@click.argument("name")
@password_stdin
@uri_option
def passwd(name: str, password_stdin: bool, uri: str | None) -> None:
    """Give somebody a new password. All sessions of that person end."""
    from .account_changes import check_password_change, set_password

    with accounts_database(uri) as database:
        found = check_password_change(database, name)
        password = read_password(password_stdin, f"New password of {found.name}")
        check_password_change(database, name, password)
        note_command(database, "password-changed", f"user {found.name}")
        ended = set_password(database, found.name, password)
    click.echo(f"{found.name} has a new password; {_counted(ended, 'session')} ended.")


@user.command()
@click.argument("name")
@uri_option
def disable(name: str, uri: str | None) -> None:
    """Lock somebody out: sessions end, tokens are void. The person's runs stay."""
    from .account_changes import check_disabling, disable_user

    with accounts_database(uri) as database:
        found = check_disabling(database, name)
        note_command(database, "user-disabled", f"user {found.name}")
        disable_user(database, found.name)
    click.echo(f"{found.name} cannot sign in any more. 'cloister user enable {found.name}' changes that.")


@user.command()
@click.argument("name")
@uri_option
def enable(name: str, uri: str | None) -> None:
    """Let somebody in again who was disabled. Tokens of before stay void."""
    from .account_changes import enable_user
    from .users import load_user

    with accounts_database(uri) as database:
        found = load_user(database, name)
        note_command(database, "user-enabled", f"user {found.name}")
        enable_user(database, found.name)
    click.echo(f"{found.name} can sign in again.")


@user.command()
@click.argument("name")
@click.option("--admin/--no-admin", default=None, help="May do everything, and sees all runs.")
@click.option("--auditor/--no-auditor", default=None, help="Reads the audit log.")
@uri_option
def rights(name: str, admin: bool | None, auditor: bool | None, uri: str | None) -> None:
    """Show or change what somebody is for the whole site. Roles in projects are given on the privacy pages."""
    from .account_changes import change_site_rights, check_site_rights
    from .users import load_user

    with accounts_database(uri) as database:
        found = load_user(database, name)
        wanted: set[str] = set(found.site)
        for right, given in (("admin", admin), ("auditor", auditor)):
            if given is not None:
                wanted = wanted | {right} if given else wanted - {right}
        if wanted != set(found.site):
            check_site_rights(database, found.name, wanted)
            before, after = sorted(found.site), sorted(wanted)
            note_command(database, "rights-changed", f"user {found.name}", before=before, after=after)
            found = change_site_rights(database, found.name, wanted)
    click.echo(f"{found.name} is {' and '.join(sorted(found.site)) or 'nothing beyond the roles in projects'}.")


@user.command("reset-second-factor")
@click.argument("name")
@uri_option
def reset(name: str, uri: str | None) -> None:
    """Take away somebody's second factor who has lost it; the password then is enough. Sessions end."""
    from .account_changes import reset_second_factor
    from .users import load_user

    with accounts_database(uri) as database:
        found = load_user(database, name)
        note_command(database, "totp-changed", f"user {found.name}", change="taken away by an admin")
        removed = reset_second_factor(database, found.name)
    click.echo(f"{found.name} {'has no second factor any more' if removed else 'had no second factor'}.")


@user.command("end-sessions")
@click.argument("name")
@uri_option
def end_sessions_of(name: str, uri: str | None) -> None:
    """Sign somebody out everywhere."""
    from .sessions import end_sessions
    from .users import load_user

    with accounts_database(uri) as database:
        found = load_user(database, name)
        note_command(database, "session-revoked", f"user {found.name}", which="all")
        ended = end_sessions(database, found.name)
    click.echo(f"{_counted(ended, 'session')} of {found.name} ended.")


@user.command("ls")
@uri_option
def list_all(uri: str | None) -> None:
    """List everybody, and how they sign in."""
    from .users import list_users

    with accounts_database(uri) as database:
        users = list_users(database)
    if not users:
        click.echo("Nobody has an account: everybody on this machine sees all. 'cloister user add NAME' changes that.")
        return
    rows = [
        (
            one.name,
            one.full_name or "-",
            ", ".join(sorted(one.site)) or "-",
            one.source if one.source != "local" else ("password" if one.has_password else "no password yet"),
            "yes" if one.has_totp else "no",
            f"disabled since {day(one.disabled_at)}" if one.is_disabled else "active",
        )
        for one in users
    ]
    print_rows(("name", "full name", "site", "signs in by", "second factor", "state"), rows)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
