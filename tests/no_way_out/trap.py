"""A network that leads nowhere: whatever is sent beyond this machine disappears in it, and is seen."""

from __future__ import annotations

import ipaddress
import socket
import struct
import subprocess
import threading
from pathlib import Path

NAME_SERVER = "192.0.2.53"  # of the addresses for documentation, as all here
CANARY = "192.0.2.1"
ALL_PROTOCOLS = 0x0003
DNS, DNS_HEAD_BYTES = 53, 12
NEIGHBOUR_DISCOVERY = range(130, 144)  # ICMPv6 that the kernel says by itself


def set_trap(folder: Path) -> None:
    """Make this network namespace one with a loopback and a device that swallows everything else."""
    for command in (
        "link set lo up",
        "link add trap type veth peer name end",
        "link set trap arp off multicast off addrgenmode none",
        "link set end arp off multicast off addrgenmode none",
        "link set trap up",
        "link set end up",
        "address add 198.51.100.2/24 dev trap",
        "route add default dev trap",
        "-6 address add 2001:db8::2/64 dev trap nodad",
        "-6 route add default dev trap",
    ):
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
        # Where the kernel has no IPv6, there is no way out by it.
        assert done.returncode == 0 or command.startswith("-6"), f"ip {command}: {done.stderr}"
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n")
    subprocess.run(["mount", "--bind", str(resolver), "/etc/resolv.conf"], check=True)


class Watcher:
    """Sees every packet that falls into the trap."""

    def __init__(self) -> None:
        self.packets: list[str] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL_PROTOCOLS))
        self._socket.bind(("trap", ALL_PROTOCOLS))
        self._arrived = threading.Condition()
        threading.Thread(target=self._watch, daemon=True).start()

    def check_that_it_sees(self) -> None:
        """Send something away, see it, and forget it."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as leaving:
            leaving.sendto(b"canary", (CANARY, 9))
        with self._arrived:
            assert self._arrived.wait_for(lambda: self.packets, timeout=10), "the trap sees nothing"
            assert self.packets == [f"udp to {CANARY} port 9"], self.packets
            self.packets.clear()

    def _watch(self) -> None:
        while True:
            packet, (_, protocol, *_) = self._socket.recvfrom(65536)
            told = _tell(protocol, packet)
            if told is not None:
                with self._arrived:
                    self.packets.append(told)
                    self._arrived.notify_all()


def _tell(protocol: int, packet: bytes) -> str | None:
    if protocol == 0x0800:
        kind, to, rest = packet[9], packet[16:20], packet[(packet[0] & 15) * 4 :]
    elif protocol == 0x86DD:
        kind, to, rest = packet[6], packet[24:40], packet[40:]
        if kind == 58 and rest[0] in NEIGHBOUR_DISCOVERY:
            return None
    else:
        return f"protocol {protocol:#06x}"
    name = {6: "tcp", 17: "udp"}.get(kind, f"protocol {kind}")
    if kind not in (6, 17) or len(rest) < 4:
        return f"{name} to {ipaddress.ip_address(to)}"
    [port] = struct.unpack("!H", rest[2:4])
    if port == DNS and kind == 17:
        return f"looked for {_asked_name(rest[8 + DNS_HEAD_BYTES :])}"
    return f"{name} to {ipaddress.ip_address(to)} port {port}"


def _asked_name(question: bytes) -> str:
    labels = []
    while question and question[0]:
        labels.append(question[1 : 1 + question[0]].decode(errors="replace"))
        question = question[1 + question[0] :]
    return ".".join(labels)
