"""
The other proxies: how each is told to share reads half and half between two sides, or to send each to both, and how it
is started.

Each is left as its makers deliver it, but for what makes them alike: one thread, connections to the sides kept open,
no access log. A peer that is not installed is simply not there. Those that mirror throw the second answer away.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable

from tests.bench.site import Site, find, nginx_command, nginx_head

Command = Callable[[Site, int], list[str]]  # writes a configuration for this port, returns what starts it

_KEPT = 'proxy_http_version 1.1; proxy_set_header Connection "";'  # connections of nginx to the sides


def nginx(site: Site, port: int) -> list[str]:
    shares = 'split_clients "$request_id" $side { 50% legacy; * modern; }'
    return _nginx(site, port, shares, f"location / {{ {_KEPT} proxy_pass http://$side; }}")


def nginx_mirror(site: Site, port: int) -> list[str]:
    second = f"location = /second {{ internal; {_KEPT} proxy_pass http://modern$request_uri; }}"
    return _nginx(site, port, "", f"{second} location / {{ mirror /second; {_KEPT} proxy_pass http://legacy; }}")


def _nginx(site: Site, port: int, shares: str, locations: str) -> list[str]:
    name = f"nginx{port}"
    upstreams = "".join(
        f" upstream {side} {{ server 127.0.0.1:{at}; keepalive 128; keepalive_requests 100000000; }}\n"
        for side, at in (("legacy", site.legacy), ("modern", site.modern))
    )
    (site.folder / f"{name}.conf").write_text(
        nginx_head(site, name) + upstreams + f" {shares}\n server {{ listen 127.0.0.1:{port}; {locations} }} }}\n"
    )
    return nginx_command(site, name)


def haproxy(site: Site, port: int) -> list[str]:
    path = site.folder / f"haproxy{port}.cfg"
    path.write_text(f"""global
  nbthread 1
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 60s
frontend in
  bind 127.0.0.1:{port}
  default_backend sides
backend sides
  http-reuse always
  server legacy 127.0.0.1:{site.legacy} weight 50
  server modern 127.0.0.1:{site.modern} weight 50
""")
    return [find("haproxy") or "haproxy", "-f", str(path)]


def envoy(site: Site, port: int) -> list[str]:
    shares = [{"name": "legacy", "weight": 50}, {"name": "modern", "weight": 50}]
    return _envoy(site, port, {"weighted_clusters": {"clusters": shares}})


def envoy_mirror(site: Site, port: int) -> list[str]:
    return _envoy(site, port, {"cluster": "legacy", "request_mirror_policies": [{"cluster": "modern"}]})


def _envoy(site: Site, port: int, action: dict[str, object]) -> list[str]:
    types = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": action}
    manager = {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [router],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    path = site.folder / f"envoy{port}.json"
    path.write_text(
        json.dumps(
            {
                "static_resources": {
                    "listeners": [{"address": envoy_address(port), "filter_chains": [{"filters": filters}]}],
                    "clusters": [envoy_cluster("legacy", site.legacy), envoy_cluster("modern", site.modern)],
                }
            }
        )
    )
    shared_memory = ["--base-id", str(port)]  # two Envoys of one machine must not meet
    return [find("envoy") or "envoy", "--concurrency", "1", "-l", "error", "-c", str(path), *shared_memory]


def envoy_address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy_cluster(name: str, port: int) -> dict[str, object]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": envoy_address(port)}}]}]
    load_assignment = {"cluster_name": name, "endpoints": endpoints}
    return {"name": name, "connect_timeout": "1s", "type": "STATIC", "load_assignment": load_assignment}


def traefik(site: Site, port: int) -> list[str]:
    return _traefik(site, port, "weighted: {services: [{name: legacy, weight: 50}, {name: modern, weight: 50}]}")


def traefik_mirror(site: Site, port: int) -> list[str]:
    return _traefik(site, port, "mirroring: {service: legacy, mirrors: [{name: modern, percent: 100}]}")


def _traefik(site: Site, port: int, sides: str) -> list[str]:
    rules = site.folder / f"traefik{port}-rules.yml"
    rules.write_text(f"""http:
  routers: {{all: {{rule: "PathPrefix(`/`)", service: sides}}}}
  services:
    sides: {{{sides}}}
    legacy: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{site.legacy}"}}]}}}}
    modern: {{loadBalancer: {{servers: [{{url: "http://127.0.0.1:{site.modern}"}}]}}}}
""")
    path = site.folder / f"traefik{port}.yml"
    path.write_text(f"""entryPoints: {{in: {{address: "127.0.0.1:{port}"}}}}
providers: {{file: {{filename: "{rules}"}}}}
log: {{level: ERROR}}
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
""")
    return [find("traefik") or "traefik", f"--configFile={path}"]


def caddy(site: Site, port: int) -> list[str]:
    path = site.folder / f"Caddyfile{port}"
    path.write_text(f"""{{
 admin off
 auto_https off
 persist_config off
}}
http://127.0.0.1:{port} {{
 reverse_proxy 127.0.0.1:{site.legacy} 127.0.0.1:{site.modern} {{
  lb_policy weighted_round_robin 50 50
 }}
}}
""")
    return [find("caddy") or "caddy", "run", "--config", str(path), "--adapter", "caddyfile"]


PEERS: dict[str, Command] = {"nginx": nginx, "haproxy": haproxy, "envoy": envoy, "traefik": traefik, "caddy": caddy}
MIRRORS: dict[str, Command] = {"nginx": nginx_mirror, "envoy": envoy_mirror, "traefik": traefik_mirror}
ASK_VERSION = {"nginx": "-v", "haproxy": "-v", "envoy": "--version", "traefik": "version", "caddy": "version"}


def version(name: str) -> str:
    """Return the version an installed peer says it has: `1.22.1`; empty when it does not say."""
    command = [find(name) or name, ASK_VERSION[name]]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"(\d+\.\d+\.\d+)", done.stdout + done.stderr)
    return found[1] if found else ""
