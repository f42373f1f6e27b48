"""
The gateway: takes each request from the wire, has it planned, and starts its exchange.

Hot: between the head and the first byte to a side nothing is awaited, created or looked up that a request does not
need. Holds what plans are made from (table, situations), replaced whole by the app when something changes.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from proxy.core.decision import Plan
from proxy.core.errors import POOL_FULL, UpstreamError
from proxy.core.failures import MISSING
from proxy.core.headers import is_host, loops
from proxy.core.messages import CRLF, RequestHead, Saw, value_of, values_of
from proxy.core.phases import RequestKind
from proxy.core.plan import Planned, may_be_asked_unseen, plan, shed
from proxy.core.rules import Side
from proxy.core.stats import first_segments
from proxy.core.table import Table
from proxy.gateway.answers import problem
from proxy.gateway.breakers import Breakers, Trip
from proxy.gateway.copies import Watcher
from proxy.gateway.exchange import Exchange
from proxy.gateway.legs import Leg
from proxy.gateway.outgoing import (
    Manner,
    SideManner,
    client_address,
    forwarded_lines,
    is_trusted,
    replace_field,
    trusted_lines,
)
from proxy.gateway.reads import Read
from proxy.gateway.records import SAMPLE_EVERY, Records
from proxy.gateway.settling import Settling
from proxy.gateway.tunnels import Tunnel
from proxy.gateway.writes import Write
from proxy.wire.client import Client
from proxy.wire.pool import Pool

_READ, _TUNNEL = RequestKind.READ, RequestKind.TUNNEL  # looking a member up costs more than a comparison
ALLOWED = b"allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"  # RFC 9110 section 15.5.6


class Gateway:
    """
    Serves requests by the present rules.

    Owns nothing that must be closed; the pools belong to whoever made them.
    """

    def __init__(
        self,
        table: Table,
        pools: Mapping[Side, Pool],
        sides: Mapping[Side, SideManner],
        manner: Manner,
        tell: Callable[[Trip], None],
    ) -> None:
        self.table = table
        self.pools = pools
        self.sides = sides
        self.manner = manner
        self.origins = tuple(origin for side in sides.values() for origin in side.origins)
        self.breakers = Breakers(tell)
        self.records = Records(manner.access_log)
        self.settling = Settling()
        self.watch: Callable[[Plan], Watcher | None] | None = None  # who looks at the reads of a plan
        self.legs: dict[Plan, Leg] = {}  # to the side that was planned
        self._other_legs: dict[Plan, Leg] = {}  # to the one that stands in
        self._count = 0
        self._overloaded = False
        self.follow(table, {}, store_lost=True)

    def follow(self, table: Table, emergencies: Mapping[str, Side], store_lost: bool) -> None:
        """Plan by other rules, emergencies or standing of the store from the next request on; one assignment."""
        if table is not self.table:
            self.legs = {}
            self._other_legs = {}
        self.breakers.follow(table, emergencies, store_lost)
        self.table = table

    def heed_load(self, overloaded: bool) -> None:
        """Plan from the next request on for a process that is overloaded, or that is not any more."""
        self._overloaded = overloaded

    # What the wire calls

    def open(self, request: RequestHead, client: Client) -> Exchange | None:
        """Begin to serve a request."""
        self._count = count = self._count + 1
        manner = self.manner
        request.peer = client.address
        if request.saw or client.trusted or request.method == b"OPTIONS":
            if request.saw & Saw.VIA and loops(values_of(request.fields, b"via"), manner.via_name):
                self._refuse(client, request, 508, "this request has passed here before", "proxy_loop_detected")
                return None
            if not client.trusted:
                request.forwarded = b""  # nobody may believe it
                if request.saw & Saw.REROUTE:
                    self.records.alarms.add(("", "reroute_field"))
            if request.saw & Saw.ODD:
                self.records.alarms.add(("", "underscore_field"))
            if request.method == b"OPTIONS" and not self._forwards(request, client):
                return None
        if client.trusted and request.forwarded:
            forwarded = self._believe(request, client, count)
        else:
            forwarded = b"%b%x\r\n" % (forwarded_lines(client, request.host, manner), count)
        forced = self._forced(request) if request.saw & Saw.FORCE else None
        planned = plan(self.table, request, self.breakers.situations, forced, count)
        if self._overloaded:
            shed(self.table, planned)
        decided = planned.plan
        if decided.refusal is not None:
            self._turn_away(client, request, decided)
            return None
        if decided.component is None:
            self.records.unclaimed.add(first_segments(request.path))
        if not count % SAMPLE_EVERY and planned.sticky >= 0 and decided.component is not None:
            self.records.sample(decided.component, planned.bucket)
        kind = Read if decided.kind is _READ else Tunnel if decided.kind is _TUNNEL else Write
        if decided.alarm:
            self.records.alarms.add((decided.component or "", "write_to_readonly"))
        exchange = kind(self, client, request, planned, forwarded)
        exchange.begin()
        return exchange

    def refusal(self, status: int, why: str, key: str, client: Client) -> tuple[bytes, bytes]:
        """Word the answer to what is no request."""
        self.records.refused.add(key)
        fields, body = problem(status, why, self.manner.via_name)
        return fields + ALLOWED if status == 405 else fields, body

    def trusts(self, address: bytes) -> bool:
        """Say whether a connection's peer is a trusted proxy."""
        return bool(self.manner.trusted) and is_trusted(address, self.manner.trusted)

    def crowded(self, key: str, turned_away: bool) -> None:
        """Count a client for whom there was no room, and let it be told."""
        self.records.alarms.add(("", key if turned_away else f"{key}_idle"))
        if turned_away:
            self.records.refused.add(key)

    def ran_out(self) -> None:
        """Let it be told that there was no descriptor for a client."""
        self.records.alarms.add(("", "no_descriptors"))

    # What exchanges call

    def leg(self, decided: Plan) -> Leg:
        """Return the leg of a plan to its side; the same one for all its requests, to be looked up in `legs`."""
        leg = self.legs[decided] = self._new_leg(decided, decided.side)
        return leg

    def other_leg(self, decided: Plan) -> Leg:
        """Return the leg of a plan to the side that stands in."""
        leg = self._other_legs.get(decided)
        if leg is None:
            leg = self._other_legs[decided] = self._new_leg(decided, decided.side.other)
        return leg

    def fell_back(self, decided: Plan, failed: Side, reason: str, is_ours: bool) -> None:
        """Count a read that is sent to the other side; a spent budget opens the breaker of the side that failed."""
        component = decided.component or "unclaimed"
        self.records.fallbacks.add((component, reason))
        if reason != MISSING and not is_ours:
            self.breakers.spend(decided.component, failed, self.records.spent)

    def ran_short(self, side: Side, error: UpstreamError) -> None:
        """Count a request for which we had no connection to give; no side is to blame."""
        self.records.alarms.add(("", f"{side}_pool_full" if error.kind == POOL_FULL else "no_descriptors"))

    def plan_again(self, request: RequestHead, entity: bytes) -> Planned:
        """Plan anew a request whose entity stood in its body."""
        forced = self._forced(request) if request.saw & Saw.FORCE else None
        return plan(self.table, request, self.breakers.situations, forced, self._count, entity)

    def may_ask_unseen(self, component: str, side: Side) -> bool:
        """Say whether reads of a component may be sent to a side behind their answers, as things stand now."""
        rules = self.table.by_name.get(component)
        return rules is not None and may_be_asked_unseen(self.breakers.situations[rules.index], side)

    def base_of(self, request: RequestHead, scheme: bytes) -> bytes:
        """Return `scheme://host` as the client knows us, or as a trusted proxy before us is known."""
        said = request.forwarded
        proto = (value_of(said, b"x-forwarded-proto") or scheme).lower()
        host = value_of(said, b"x-forwarded-host") or b""
        return b"%b://%b" % (
            b"https" if proto == b"https" else b"http",
            host if is_host(host) else request.host,
        )

    # The rare

    def _new_leg(self, decided: Plan, side: Side) -> Leg:
        leg = Leg(decided, side, self.pools[side], self.sides[side])
        leg.breaker = self.breakers.of(decided.component, side)
        if decided.kind is RequestKind.READ:
            leg.budget = self.breakers.budget_of(decided.component)
            if decided.watch is not None and side is decided.side and self.watch is not None:
                leg.watcher = self.watch(decided)
        leg.classes = self.records.classes_of(decided, side)
        leg.latency = self.records.latency_of(decided, side)
        leg.added = b"via: 1.1 %b\r\n" % self.manner.via_name
        if self.manner.expose:
            if decided.component:
                leg.added += b"x-banyan-component: %b\r\n" % decided.component.encode()
            leg.added += b"x-banyan-side: %b\r\nx-banyan-plan: %b" % (side.value.encode(), decided.label)
            leg.tells_bucket = True
        leg.added_all = leg.added + CRLF if leg.tells_bucket else leg.added
        return leg

    def _forced(self, request: RequestHead) -> Side | None:
        """Return the side of `X-Banyan-Force: <side>;<secret>` if the secret is ours; else nothing is forced."""
        secret = self.manner.force_secret
        side, _, given = request.force.partition(b";")
        if secret is None or not hmac.compare_digest(given.strip(), secret):
            return None
        try:
            return Side(side.strip().lower().decode("ascii"))
        except ValueError:
            return None

    def _believe(self, request: RequestHead, client: Client, count: int) -> bytes:
        """Take from a trusted proxy whom it serves, and under which id; return the forwarded lines."""
        said = request.forwarded
        request.peer = client_address(values_of(said, b"x-forwarded-for"), client.address, self.manner.trusted)
        lines = trusted_lines(request, client, self.manner)
        if value_of(said, b"x-request-id"):
            return lines
        return lines + b"x-request-id: %b%x\r\n" % (self.manner.request_id_prefix, count)

    def _forwards(self, request: RequestHead, client: Client) -> bool:
        """Max-Forwards (RFC 9110 section 7.6.2): count it down; at 0 the request ends here."""
        value = value_of(request.fields, b"max-forwards")
        if value is None or not value.isdigit() or len(value) > 9:
            return True
        if int(value) > 0:
            request.fields = replace_field(request.fields, b"max-forwards", b"%d" % (int(value) - 1))
            return True
        client.answer(204, b"", b"via: 1.1 %b\r\n" % self.manner.via_name, 0, [], True)
        return False

    def _refuse(self, client: Client, request: RequestHead, status: int, why: str, error: str) -> None:
        self.records.refused.add(error)
        fields, body = problem(status, why, self.manner.via_name, error)
        client.answer(status, b"", fields, len(body), [body], True, request.method == b"HEAD")

    def _turn_away(self, client: Client, request: RequestHead, decided: Plan) -> None:
        """Answer what the plan refuses; no side is asked."""
        refusal = decided.refusal
        assert refusal is not None
        self.records.classes_of(decided, None)[refusal.status // 100] += 1
        fields, body = problem(refusal.status, refusal.why, self.manner.via_name, retry_after_s=refusal.retry_after_s)
        if self.manner.expose:
            fields += b"x-banyan-plan: %b\r\n" % decided.label
        client.answer(refusal.status, b"", fields, len(body), [body], True, request.method == b"HEAD")
