"""
Conversations as values: what the clients do, act by act, and what the sides reply. Printed, they are Python literals.

Nothing here touches a socket: `world` plays them, `judge` says whether what came of one is right.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields, replace

TOKEN = b"~TTTTTTTT~"  # in a reply: becomes the id of the request that it answers, of the same length
PLAIN = b"HTTP/1.1 200 OK\r\nX-Token: %b\r\nContent-Length: 12\r\n\r\n[%b]" % (TOKEN, TOKEN)
WHOLE = -1  # `Reply.after`: the side waits for the whole request


class Literal:
    """Prints itself without what is default, so that a conversation can be pasted into a test."""

    __slots__ = ()

    def __repr__(self) -> str:
        said = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if field.default is MISSING:
                said.append(repr(value))
            elif value != field.default:
                said.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(said)})"


@dataclass(frozen=True, slots=True, repr=False)
class Send(Literal):
    """A client sends one segment."""

    client: int
    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Leave(Literal):
    """A client ends its sending half (`half`), closes (`close`) or resets its connection (`reset`)."""

    client: int
    how: str


@dataclass(frozen=True, slots=True, repr=False)
class Deaf(Literal):
    """A client stops reading."""

    client: int


@dataclass(frozen=True, slots=True, repr=False)
class Hear(Literal):
    """A client reads again."""

    client: int


@dataclass(frozen=True, slots=True, repr=False)
class Settle(Literal):
    """Everybody waits until nothing moves any more."""


@dataclass(frozen=True, slots=True, repr=False)
class Pass(Literal):
    """Nothing moves any more, and then time passes at once."""

    seconds: float


@dataclass(frozen=True, slots=True, repr=False)
class Stray(Literal):
    """
    Nothing moves any more, and then every idle connection of the sides says `data` unasked; empty: it closes.

    If a client sends something next, both are there at once, and the gateway hears the client first.
    """

    data: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Drain(Literal):
    """Nothing moves any more, and then the gateway begins to drain: it accepts on, but ends connections."""


Act = Send | Leave | Deaf | Hear | Settle | Pass | Stray | Drain


@dataclass(frozen=True, slots=True, repr=False)
class Reply(Literal):
    """
    What a side does about one request: `data`, cut into segments at `cuts`, and then `end` (close, half, reset).

    It begins `after` so many bytes of the request's body, or when the request is whole. `waits`: between two segments
    until nothing moves any more. `deaf`: behind the head it stops reading until then. `bare`: to HEAD only its head.
    Neither a whole answer nor an end: the side hangs.
    """

    data: bytes = PLAIN
    cuts: tuple[int, ...] = ()
    after: int = WHOLE
    end: str = ""
    bare: bool = True
    waits: bool = False
    deaf: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Conversation(Literal):
    """
    Who says what, and in which house.

    `replies` are those to the first requests that reach a side; whatever comes later gets a plain one. `weight` in
    percent: 0 asks legacy alone, 100 asks modern, and legacy stands in. `pool` is how many connections a side may
    have, `down` the side that nobody can reach, `greets` what a side says on its first connections before it is
    asked, `exchange_s` how long a whole exchange may take, if that is bounded; `strict` refuses ambiguous paths.
    """

    acts: tuple[Act, ...]
    replies: tuple[Reply, ...] = ()
    weight: float = 0.0
    pool: int = 1024
    down: str = ""
    greets: tuple[bytes, ...] = ()
    exchange_s: float = 0.0
    strict: bool = False

    def but(self, **changes: object) -> Conversation:
        return replace(self, **changes)  # type: ignore[arg-type]

    def literal(self) -> str:
        """Return it as Python source, an act and a reply to a line."""
        lines = ["Conversation(", "    acts=("]
        lines += [f"        {act!r}," for act in self.acts]
        lines.append("    ),")
        if self.replies:
            lines.append("    replies=(")
            lines += [f"        {reply!r}," for reply in self.replies]
            lines.append("    ),")
        defaults = Conversation(())
        lines += [
            f"    {name}={getattr(self, name)!r},"
            for name in ("weight", "pool", "down", "greets", "exchange_s", "strict")
            if getattr(self, name) != getattr(defaults, name)
        ]
        return "\n".join([*lines, ")"])
