"""nginx on this machine as the reverse proxy of a viewer, asking people for name and password."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from conftest import free_port
from install_directory import find_server

PROXY_ADDRESS = "127.0.0.2"  # from where it asks the viewer, so that nobody else on this machine is taken for it
PEOPLE = {"ana": "swordfish", "bo": "halibut", "root": "turbot", "ana,root": "perch"}

CONFIG = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $remote_user $their_groups {{ default "trackers"; ana "trackers, vision"; bo "guests"; }}
    server {{
        listen 127.0.0.1:{port};
        auth_basic "Lab";
        auth_basic_user_file {folder}/people;
        location / {{
            proxy_pass http://127.0.0.1:{viewer};
            proxy_bind {address};
            proxy_buffering off;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header Authorization "";
            proxy_set_header X-Remote-User $remote_user;
            proxy_set_header X-Remote-Groups $their_groups;
            proxy_set_header X-Cloister-Proxy-Secret {secret};
        }}
    }}
}}
"""


@contextmanager
def running_nginx(folder: Path, *, viewer: int, secret: str) -> Iterator[int]:
    """Yields its port."""
    port = free_port()
    (folder / "people").write_text("".join(f"{name}:{{PLAIN}}{password}\n" for name, password in PEOPLE.items()))
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, viewer=viewer, address=PROXY_ADDRESS, secret=secret))
    nginx = find_server("nginx")
    assert nginx is not None
    command = [nginx, "-c", str(config), "-p", str(folder), "-e", str(folder / "start.log")]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        _wait_for(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while True:
        assert server.poll() is None, "nginx did not start"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline, "nginx did not listen within 10 s"
            time.sleep(0.01)
        else:
            return
