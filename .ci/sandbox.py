"""Runs the program under what deploy/systemd's unit allows it: system calls, families of sockets, memory that is
never both written and executed. systemd is not needed for that, only its lists. The argument is the program.

libseccomp's module for Python is a package of Debian's, so this is for /usr/bin/python3.
"""

import errno
import gzip
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import seccomp

PROGRAM = pathlib.Path(sys.argv[1]).absolute()
ROOT = pathlib.Path(__file__).resolve().parent.parent
UNIT = (ROOT / "deploy/systemd/davinci-siem.service").read_text()
WRITE, EXECUTE = 2, 4
CONFIG = """
[listen]
address = "127.0.0.1:0"
[listen.tls]
certificate = "tls.crt"
key = "tls.key"
[sources.production]
basic = [{ username = "pingone", password_file = "password" }]
[sinks.archive]
type = "file"
path = "events.ndjson"
rotate = { size = "4 KiB" }
batch = { events = 10 }
[sinks.away]
type = "http"
url = "http://localhost:1/"
[admin]
address = "127.0.0.1:0"
"""


def members(name):
    """A set of system calls, as systemd has it."""
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[1:]
    found = set()
    for call in (line.strip() for line in lines):
        if call and not call.startswith("#"):
            found |= members(call) if call.startswith("@") else {call}
    return found


def allowed():
    calls = members("@default")
    for words in re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.MULTILINE):
        for name in words.removeprefix("~").split():
            named = members(name) if name.startswith("@") else {name}
            calls = calls - named if words.startswith("~") else calls | named
    return calls


def rules():
    filtered = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    narrowed = {"socket", "mmap", "mprotect", "pkey_mprotect", "shmat", "personality"}
    for call in allowed() - narrowed:
        try:
            filtered.add_rule(seccomp.ALLOW, call)
        except RuntimeError:
            pass  # not on this architecture
    (families,) = re.findall(r"^RestrictAddressFamilies=(.*)$", UNIT, re.MULTILINE)
    for family in families.split():
        filtered.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    for protection in (0, WRITE, EXECUTE):
        both = seccomp.Arg(2, seccomp.MASKED_EQ, WRITE | EXECUTE, protection)
        filtered.add_rule(seccomp.ALLOW, "mmap", both)
    filtered.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, EXECUTE, 0))
    return filtered


def until(holds, what, service, log):
    end = time.monotonic() + 30
    while not holds():
        if time.monotonic() > end or service.poll() is not None:
            sys.exit(f"sandbox: {what}: {log.read_text()}")
        time.sleep(0.05)


def main():
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
        leaf = ["-addext", "basicConstraints=critical,CA:FALSE", "-out", "tls.crt", "-keyout", "tls.key"]
        subprocess.run([*request, *names, *leaf], cwd=directory, check=True, capture_output=True)
        directory.joinpath("password").write_text("5f0c2f6e3a1b4d7c8e9fa0b1c2d3e4f5\n")
        directory.joinpath("config.toml").write_text(CONFIG)
        log = directory / "log"
        filtered = rules()
        with log.open("w") as stderr:
            service = subprocess.Popen(
                [PROGRAM, "serve", "-c", "config.toml"], cwd=directory, env={}, stderr=stderr, preexec_fn=filtered.load
            )
        try:
            until(lambda: " ready " in log.read_text(), "it is not ready", service, log)
            port = re.search(r"listen=127\.0\.0\.1:(\d+)", log.read_text())[1]
            send = [PROGRAM, "send", "--count", "100", "--user", "pingone", "--password-file", "password"]
            sent = subprocess.run(
                [*send, "--give-up-after", "10s", "--url", f"https://localhost:{port}/webhooks/pingone"],
                cwd=directory, env={"SSL_CERT_FILE": "tls.crt"}, preexec_fn=filtered.load, capture_output=True, text=True,
            )
            if sent.returncode != 0:
                sys.exit(f"sandbox: nothing was accepted: {sent.stderr}{log.read_text()}")
            service.send_signal(signal.SIGHUP)
            until(lambda: "SIGHUP" in log.read_text(), "it does not reload", service, log)

            def lines():
                try:
                    texts = [path.read_bytes() for path in directory.glob("events*.ndjson")]
                    texts += [gzip.decompress(path.read_bytes()) for path in directory.glob("events*.gz")]
                except FileNotFoundError:  # it has just been compressed
                    return 0
                return sum(text.count(b"\n") for text in texts)

            until(lambda: lines() == 100, "not everything is in the archive", service, log)
            until(lambda: list(directory.glob("*.gz")), "nothing was compressed", service, log)
        finally:
            service.terminate()
        if service.wait(30) != 0:
            sys.exit(f"sandbox: it did not end well: {log.read_text()}")
    print("it works under the unit's system calls, sockets and memory")


main()
