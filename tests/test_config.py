"""Settings: where they come from, what wins, and how every problem of all sources is reported at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proxy import config, yamlfile
from proxy.addresses import Origin
from proxy.config import find_config, json_schema, load_settings, variables
from proxy.core.errors import ConfigError
from proxy.core.limits import ClientDeadlines, WireLimits
from proxy.core.model import Side
from proxy.settings import ListenerTls, Settings
from proxy.wire.certificates import DialingFiles

EXAMPLE = Path(__file__).parent.parent / "config.example.yaml"


def load(folder: Path, text: str = "", **env: str) -> Settings:
    path = folder / "config.yaml"
    path.write_text(text)
    return load_settings(path, env)


def problems(folder: Path, text: str = "", **env: str) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load(folder, text, **env)
    return [str(problem).removeprefix(f"{folder}/") for problem in refused.value.problems]


def one_problem(folder: Path, text: str = "", **env: str) -> str:
    (problem,) = problems(folder, text, **env)
    return problem


# The example, the defaults and the environment know the same keys.


def test_the_example_says_the_defaults():
    document = yamlfile.load(EXAMPLE, EXAMPLE.name)

    assert document.problems == ()
    assert Settings.model_validate(document.values) == Settings()


def test_every_key_stands_in_the_example():
    values = yamlfile.load(EXAMPLE, EXAMPLE.name).values

    for path in variables().values():
        at: Any = values
        for step in path:
            assert step in at, f"{path} is missing"
            at = at[step]


def test_the_example_loads():
    settings = load_settings(EXAMPLE, {})

    assert settings.rules == EXAMPLE.parent / "rules"
    assert settings.sides == Settings().sides


def test_the_limits_are_those_of_the_wire():
    settings, wire, clients = Settings(), WireLimits(), ClientDeadlines()

    ours = settings.limits.model_dump(exclude={"loop_lag_s"})  # this one is for the process
    assert ours == {name: getattr(wire, name) for name in WireLimits.__slots__}
    assert settings.timeouts.client_head_s == clients.head_s
    assert settings.timeouts.client_body_idle_s == clients.body_idle_s
    assert settings.timeouts.idle_s == clients.idle_s


def test_nothing_said_is_all_defaults(tmp_path):
    settings = load(tmp_path)

    assert settings.model_copy(update={"data_dir": Path(".banyan"), "rules": Path("rules")}) == Settings()
    assert settings.data_dir == tmp_path / ".banyan"


def test_without_a_file_paths_are_relative_to_the_working_directory():
    assert load_settings(None, {}).rules == Path.cwd() / "rules"


# Which file.


def test_the_file_given_comes_before_the_variable_and_the_folder(tmp_path):
    (tmp_path / "config.yaml").touch()
    env = {"BANYAN_CONFIG": "/etc/banyan.yaml"}

    assert find_config(Path("mine.yaml"), env, tmp_path) == Path("mine.yaml")
    assert find_config(None, env, tmp_path) == Path("/etc/banyan.yaml")
    assert find_config(None, {}, tmp_path) == tmp_path / "config.yaml"
    assert find_config(None, {}, tmp_path / "elsewhere") is None


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    with pytest.raises(ConfigError) as refused:
        load_settings(tmp_path / "none.yaml", {})

    assert str(refused.value) == f"{tmp_path}/none.yaml: cannot be read: No such file or directory"


def test_a_folder_in_place_of_the_file_is_a_problem(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_settings(tmp_path, {})


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff\r\n", "{}"])
def test_an_empty_file_is_all_defaults(tmp_path, text):
    assert load(tmp_path, text).listen == "127.0.0.1:8080"


def test_byte_order_mark_and_crlf_are_no_matter(tmp_path):
    settings = load(tmp_path, "\ufefflisten: 127.0.0.1:1\r\nexpose: false\r\n")

    assert (settings.listen, settings.expose) == ("127.0.0.1:1", False)


# Problems: all at once, each at its place.


def test_a_path_that_is_none_is_refused_in_our_words(tmp_path):
    with pytest.raises(ConfigError, match="data_dir: should be a path \\(quote it\\), is 5"):
        load(tmp_path, "data_dir: 5")


def test_every_problem_is_reported_at_once(tmp_path):
    text = "listen: 8080\nprozesses: 2\ntimeouts:\n  head_s: -1\n  heads_s: 2\nexpose: yes\ndrain_s: 012\n"

    assert problems(tmp_path, text, BANYAN_SIDES__LEGCY__URL="http://x", BANYAN_LISTEN="x") == [
        "config.yaml:2:1: prozesses: unknown key; did you mean `processes`?",
        "config.yaml:4:11: timeouts.head_s: should be more than 0, is -1",
        "config.yaml:5:3: timeouts.heads_s: unknown key; did you mean `head_s`?",
        "config.yaml:6:9: expose: should be true or false, is `yes`",
        "config.yaml:7:10: drain_s: 012 is octal in old YAML, decimal in new; leave out the leading zero, or quote it",
        "BANYAN_LISTEN: listen: should be host:port, such as 127.0.0.1:8080, is x",
        "BANYAN_SIDES__LEGCY__URL: no such variable; did you mean `BANYAN_SIDES__LEGACY__URL`?",
    ]


def test_a_list_at_top_level_is_refused(tmp_path):
    assert one_problem(tmp_path, "- listen\n") == "config.yaml:1:1: should be a mapping of settings"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "listen: ':8080'",
            "1:9: listen: should name the host to listen on: 127.0.0.1:8080 or, for all of them, 0.0.0.0:8080",
        ),
        ("listen: localhost", "1:9: listen: should be host:port, such as 127.0.0.1:8080, is localhost"),
        ("listen: 1.2.3.4:70000", "1:9: listen: should be host:port, such as 127.0.0.1:8080, is 1.2.3.4:70000"),
        ("listen: ::1:8080", "1:9: listen: should have brackets round an IPv6 address: [::1]:8080"),
        ("listen: '[1.2.3.4]:80'", "1:9: listen: should have an IPv6 address between the brackets, is [1.2.3.4]:80"),
        ("listen: 1.2.3.400:80", "1:9: listen: should name a host or an address, is 1.2.3.400:80"),
        (
            "probes: {listen: '127.0.0.1:8080'}",
            "1:18: probes.listen: 127.0.0.1:8080 is taken by `listen`; give it a port of its own",
        ),
        (
            "admin: {listen: '0.0.0.0:8081'}",
            "1:17: admin.listen: 0.0.0.0:8081 is open to others: add `admin.tokens`, or listen on 127.0.0.1",
        ),
        ("processes: 0", "1:12: processes: should be at least 1, is 0"),
        ("processes: 1000", "1:12: processes: should be at most 256, is 1000"),
        ("processes: 1.5", "1:12: processes: should be a whole number, is 1.5"),
        ("drain_s: .nan", "1:10: drain_s: should be a finite number, is nan"),
        (
            "store: http://x",
            "1:8: store: should be `embedded` or begin with redis://, rediss://, unix:// or redis+sentinel://, is 'http://x'",
        ),
        (
            "store: redis+cluster://a:1",
            "1:8: store: Redis Cluster is not built yet; give redis://, rediss://, unix:// or redis+sentinel://",
        ),
        ("store: 5", "1:8: store: should be text; quote it"),
        ("namespace: 'a b'", "1:12: namespace: should be a word without spaces, quotes and *?[], is 'a b'"),
        ("via_name: a b", "1:11: via_name: should be one word as in a host's name, is 'a b'"),
        (
            "trusted_proxies: [10.0.0.1/8]",
            "1:19: trusted_proxies.0: has bits set beyond its prefix; 10.0.0.1/8 should be 10.0.0.0/8",
        ),
        (
            "trusted_proxies: [ten]",
            "1:19: trusted_proxies.0: should be an address or network such as 10.0.0.0/8, is ten",
        ),
        ("trusted_proxies: 10.0.0.0/8", "1:18: trusted_proxies: should be a list, is `10.0.0.0/8`"),
        (
            "live_changes: emergency-only",
            "1:15: live_changes: should be all or emergency_only, is `emergency-only`; did you mean `emergency_only`?",
        ),
        ("force_secret: 123456", "1:15: force_secret: should be text; quote it"),
        ("force_secret: a;b", "1:15: force_secret: should be printable ASCII without spaces, `;` and `,`"),
        ("limits: {head_bytes: 1}", "1:22: limits.head_bytes: should be at least 1024, is 1"),
        ("limits: {head_bytes: 2000000}", "1:22: limits.head_bytes: should be at most 1048576, is 2000000"),
        ("shadow: {timeout_s: 0}", "1:21: shadow.timeout_s: should be more than 0, is 0"),
        ("shadow: {body_bytes: 1023}", "1:22: shadow.body_bytes: should be at least 1024, is 1023"),
        ("shadow: {body_bytes: 67108865}", "1:22: shadow.body_bytes: should be at most 67108864, is 67108865"),
        ("shadow: {pending: 0}", "1:19: shadow.pending: should be at least 1, is 0"),
        ("shadow: {settle_s: -1}", "1:20: shadow.settle_s: should be at least 0, is -1"),
        ("shadow: {rereads_per_s: .inf}", "1:25: shadow.rereads_per_s: should be a finite number, is inf"),
        ("shadow: {floor_per_h: 1000001}", "1:23: shadow.floor_per_h: should be at most 1000000, is 1000001"),
        (
            "shadow: {body_bytes: 2048, buffer_bytes: 4095}",
            "1:9: shadow: `buffer_bytes` should be at least 4096: two answers of `body_bytes`",
        ),
        ("sides: {modem: {url: 'http://a'}}", "1:9: sides.modem: unknown key; did you mean `modern`?"),
        (
            "admin: {tokens: [{name: a, role: boss, env: A}]}",
            "1:34: admin.tokens.0.role: should be viewer or operator, is `boss`",
        ),
        (
            "admin: {tokens: [{name: a, role: viewer}]}",
            "1:18: admin.tokens.0: needs either `env`, the name of a variable, or `token_file`",
        ),
        (
            "admin: {tokens: [{name: a, role: viewer, env: TOKEN}]}",
            "1:47: admin.tokens.0.env: the variable TOKEN is not set",
        ),
        (
            "admin: {tokens: [{name: a, role: viewer, token_file: t}]}",
            "1:54: admin.tokens.0.token_file: t cannot be read: No such file or directory",
        ),
        ("store_file: s", "1:13: store_file: s cannot be read: No such file or directory"),
        ("store: redis://a\nstore_file: s", "2:13: store_file: says what `store` says too; give one of them"),
        (
            "listen: a: b",
            "1:10: no YAML: no `key: value` can stand here; "
            "quote the text before the colon, or look at the indentation",
        ),
    ],
)
def test_what_is_wrong_and_what_would_be_right(tmp_path, text, problem):
    assert one_problem(tmp_path, text) == f"config.yaml:{problem}"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://app", "should be http(s)://host:port, is 'ftp://app'"),
        ("app:9001", "should be http(s)://host:port, is 'app:9001'"),
        ("http://", "should be http(s)://host:port, is 'http://'"),
        ("http://app:", "should be http(s)://host:port, is 'http://app:'"),
        ("http://app:0", "should be http(s)://host:port, is 'http://app:0'"),
        ("http://app:99999", "should be http(s)://host:port, with a port from 1 to 65535"),
        ("http://[::1", "should be http(s)://host:port, with a port from 1 to 65535"),
        ("http://a b", "should be http(s)://host:port, is 'http://a b'"),
        ("http://ana:pw@app", "must not carry a user or password; put an Authorization field under `headers`"),
        ("htp://ana:pw@app", "should be http(s)://host:port"),
        (
            "http://app/base",
            "must not carry a path (/base): paths are forwarded as they came; give http(s)://host:port",
        ),
        ("http://app/?q=1", "must not carry a query or fragment; give http(s)://host:port"),
        ("http://app#x", "must not carry a query or fragment; give http(s)://host:port"),
        ("http://127.0.0.1:8080", "is where the gateway itself listens; give the application's address"),
    ],
)
def test_a_side_is_one_plain_origin(tmp_path, url, problem):
    text = f"sides:\n  legacy:\n    url: {url!r}\n"

    assert one_problem(tmp_path, text) == f"config.yaml:3:10: sides.legacy.url: {problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "{url: http://a, tls: {ca: x}}",
            "1:38: sides.legacy.tls: means nothing for http://a; give https://host:port, or leave it out",
        ),
        ("{url: https://a, tls: {key: x}}", "1:39: sides.legacy.tls: has `key` and no `cert`; give both"),
        (
            "{url: https://a, tls: {ca: x, verify: false}}",
            "1:39: sides.legacy.tls: `ca` means nothing with `verify: false`; leave one of them out",
        ),
        (
            "{url: https://a, tls: {server_name: 'a b'}}",
            "1:53: sides.legacy.tls.server_name: "
            "should be the name in the side's certificate, such as app.example.net, is 'a b'",
        ),
        (
            "{urls: ['http://a', 'http://b', 'http://a:80']}",
            "1:49: sides.legacy.urls.2: http://a:80 stands here twice; give each instance once",
        ),
        (
            "{urls: ['http://a', 'https://b']}",
            "1:37: sides.legacy.urls.1: is https, and the first one is http; all instances are spoken to alike",
        ),
        (
            "{urls: ['http://a', 'http://127.0.0.1:8080']}",
            "1:37: sides.legacy.urls.1: is where the gateway itself listens; give the application's address",
        ),
        (
            "{urls: ['http://a', 'http://b'], limits: {connections: 1}}",
            "1:17: sides.legacy: `limits.connections` should be 2 or more, one for each instance",
        ),
        (
            "{health_check: {interval_s: 0.01}}",
            "1:17: sides.legacy: `health_check.interval_s` should be 0 (never) or at least 0.1 s",
        ),
        (
            "{health: null, health_check: {interval_s: 5}}",
            "1:17: sides.legacy: `health_check` needs `health`, the path to ask for",
        ),
        ("{url: http://a, urls: ['http://b']}", "1:17: sides.legacy: has `url` and `urls`; give one of them"),
        ("{health: healthz}", "1:26: sides.legacy.health: should be a path such as /healthz, is healthz"),
        (
            "{headers: {Host: x}}",
            "1:28: sides.legacy.headers.Host: Host is written by Banyan itself and cannot be set here",
        ),
        ("{headers: {a b: x}}", "1:28: sides.legacy.headers.a b: 'a b' is no name of a header field"),
        (
            '{headers: {a: "x\\r\\ny"}}',
            "1:31: sides.legacy.headers.a: should be printable ASCII without spaces at either end",
        ),
        ("{headers: {a: 1}}", "1:31: sides.legacy.headers.a: should be text (quote it), is 1"),
        ("{limits: {connections: 0}}", "1:40: sides.legacy.limits.connections: should be at least 1, is 0"),
        ("{shadow: {requests_per_s: -1}}", "1:43: sides.legacy.shadow.requests_per_s: should be at least 0, is -1"),
        ("{shadow: {concurrency: 0}}", "1:40: sides.legacy.shadow.concurrency: should be at least 1, is 0"),
        ("{shadow: {concurency: 1}}", "1:27: sides.legacy.shadow.concurency: unknown key; did you mean `concurrency`?"),
        (
            "{version_header: 'x y'}",
            "1:34: sides.legacy.version_header: should be the name of a header field, is `x y`",
        ),
        (
            "{version_header: Set-Cookie}",
            "1:34: sides.legacy.version_header: `set-cookie` is never looked at: its values are secrets",
        ),
        (
            "{timeouts: {client_head_s: 1}}",
            "1:29: sides.legacy.timeouts.client_head_s: unknown key; did you mean `head_s`?",
        ),
    ],
)
def test_what_a_side_may_say(tmp_path, text, problem):
    assert one_problem(tmp_path, f"sides: {{legacy: {text}}}") == f"config.yaml:{problem}"


def test_no_problem_shows_a_password(tmp_path):
    found = problems(
        tmp_path, "store: redi://ana:hunter2@h\nforce_secret: [hunter2]\n", BANYAN_SIDES__LEGACY__URL="x://u:hunter2@h"
    )

    assert len(found) == 3
    assert "hunter2" not in "\n".join(found)


def test_settings_can_be_printed_without_their_secrets(tmp_path):
    text = "store: redis://ana:hunter2@h\nforce_secret: hunter2\nsides: {legacy: {headers: {authorization: hunter2}}}\n"
    text += "admin: {tokens: [{name: ana, role: operator, env: T}]}\n"

    assert "hunter2" not in repr(load(tmp_path, text, T="hunter2"))


# Addresses that are right.


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8080", "0.0.0.0:80", "localhost:8080", "banyan_1:8080"])
def test_addresses_to_listen_on(tmp_path, listen):
    assert load(tmp_path, BANYAN_LISTEN=listen).listen == listen


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://app", "app", 80),
        ("http://app_1.internal:9001/", "app_1.internal", 9001),
        ("http://[::1]:9001", "::1", 9001),
        ("HTTP://10.0.0.7:1", "10.0.0.7", 1),
    ],
)
def test_addresses_of_a_side(tmp_path, url, host, port):
    (origin,) = load(tmp_path, BANYAN_SIDES__MODERN__URL=url).side(Side.MODERN).origins

    assert (origin.host, origin.port, origin.url) == (host, port, url.rstrip("/"))


def test_one_of_urls_is_as_good_as_url(tmp_path):
    assert load(tmp_path, "sides: {modern: {urls: ['http://a:1']}}").side(Side.MODERN).origins == (
        Origin("http://a:1"),
    )


@pytest.mark.parametrize(
    "store", ["redis://h", "rediss://u:p@h:1/2", "unix:///run/r.sock", "redis+sentinel://a:1,b:2/main/0"]
)
def test_stores_that_can_be_talked_to(tmp_path, store):
    assert load(tmp_path, BANYAN_STORE=store).store == store


def test_a_listener_beyond_loopback_with_a_token_is_fine(tmp_path):
    text = "admin: {listen: '0.0.0.0:8081', tokens: [{name: ana, role: operator, env: BANYAN_TOKEN_ANA}]}"

    (token,) = load(tmp_path, text, BANYAN_TOKEN_ANA=" s3cret\n").admin.tokens

    assert (token.name, token.role, token.secret) == ("ana", "operator", "s3cret")


def test_two_tokens_of_one_name_are_refused(tmp_path):
    text = "admin:\n  tokens:\n  - {name: a, role: viewer, env: T}\n  - {name: a, role: viewer, env: T}\n"
    what = "`a` stands here twice; each token needs a name of its own"

    assert one_problem(tmp_path, text, T="x") == f"config.yaml:4:12: admin.tokens.1.name: {what}"


# Deadlines.


def test_a_side_may_have_deadlines_of_its_own(tmp_path):
    settings = load(tmp_path, "timeouts: {head_s: 10}\nsides: {modern: {timeouts: {head_s: 5}}}")

    assert settings.timeouts_of(Side.LEGACY).head_s == 10
    assert settings.timeouts_of(Side.MODERN).head_s == 5
    assert settings.timeouts_of(Side.MODERN).connect_s == 1


# The environment.


def test_variables_win_over_the_file(tmp_path):
    text = "listen: 127.0.0.1:1\nsides: {legacy: {url: http://file:1, health: /up}}\n"
    text += "trusted_proxies: [10.0.0.0/8, 11.0.0.0/8]\n"
    env = {
        "BANYAN_LISTEN": "127.0.0.1:2",
        "BANYAN_SIDES__LEGACY__URL": "http://variable:2",
        "BANYAN_TRUSTED_PROXIES": "[192.168.0.0/16]",
        "BANYAN_DRAIN_S": "2.5",
        "BANYAN_EXPOSE": "no",
        "BANYAN_FORCE_SECRET": "12345",
        "BANYAN_SIDES__LEGACY__HEADERS": "{x-from: 'banyan'}",
        "BANYAN_SIDES__MODERN__HEALTH": "/ready",
        "HOME": "/root",
    }
    settings = load(tmp_path, text, **env)

    assert settings.listen == "127.0.0.1:2"
    assert (settings.sides.legacy.url, settings.sides.legacy.health) == ("http://variable:2", "/up")
    assert settings.sides.modern.health == "/ready"
    assert settings.trusted_proxies == ("192.168.0.0/16",)
    assert settings.drain_s == 2.5
    assert settings.expose is False
    assert settings.force_secret is not None
    assert settings.force_secret.get_secret_value() == "12345"
    assert settings.sides.legacy.headers == {"x-from": "banyan"}


def test_an_empty_variable_is_not_set(tmp_path):
    assert load(tmp_path, "listen: 127.0.0.1:1", BANYAN_LISTEN="").listen == "127.0.0.1:1"


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("BANYAN_PROCESSES", "two", "processes: should be a whole number, is `two`"),
        ("BANYAN_EXPOSE", "maybe", "expose: should be true or false, is `maybe`"),
        (
            "BANYAN_TRUSTED_PROXIES",
            "[ten]",
            "trusted_proxies.0: should be an address or network such as 10.0.0.0/8, is ten",
        ),
        ("BANYAN_TRUSTED_PROXIES", "[", "no YAML: while parsing a flow node: did not find expected node content"),
        ("BANYAN_DRAIN_S", "030", "030 is octal in old YAML, decimal in new; leave out the leading zero, or quote it"),
        ("BANYAN_STORRE", "x", "no such variable; did you mean `BANYAN_STORE`?"),
        ("BANYAN_PORT", "tcp://10.0.0.1:80", "no such variable"),
    ],
)
def test_a_variable_that_is_wrong_is_named(tmp_path, name, text, problem):
    assert one_problem(tmp_path, "trusted_proxies: [10.0.0.0/8]", **{name: text}) == f"{name}: {problem}"


def test_a_variable_replaces_its_rival_in_the_file(tmp_path):
    assert load(tmp_path, "store_file: none", BANYAN_STORE="redis://h").store == "redis://h"
    urls = load(tmp_path, "sides: {legacy: {urls: ['http://a']}}", BANYAN_SIDES__LEGACY__URL="http://b")
    assert urls.side(Side.LEGACY).origins == (Origin("http://b"),)


def test_two_rival_variables_are_refused(tmp_path):
    found = one_problem(tmp_path, BANYAN_STORE="redis://h", BANYAN_STORE_FILE="x")

    assert found == "BANYAN_STORE_FILE: store_file: says what `store` says too; give one of them"


def test_a_path_in_a_variable_is_relative_to_the_working_directory(tmp_path):
    settings = load(tmp_path, "data_dir: state\nemergency_file: e.yaml", BANYAN_RULES="my-rules")

    assert settings.rules == Path.cwd() / "my-rules"
    assert (settings.data_dir, settings.emergency_file) == (tmp_path / "state", tmp_path / "e.yaml")


def test_kubernetes_service_links_are_no_settings(tmp_path):
    links = {
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
        "BANYAN_PORT": "tcp://10.0.0.2:8080",
        "BANYAN_SERVICE_HOST": "10.0.0.2",
        "BANYAN_SERVICE_PORT_HTTP": "8080",
        "BANYAN_ADMIN_PORT_8081_TCP_ADDR": "10.0.0.3",
    }
    assert load(tmp_path, "store: redis://h", **links).store == "redis://h"


def test_the_embedded_store_under_kubernetes_needs_a_word(tmp_path):
    kubernetes = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    why = "`embedded` under Kubernetes would give every pod rules of its own"

    assert one_problem(tmp_path, "store: embedded", **kubernetes) == (
        f"config.yaml:1:8: store: {why}; give the address of a Redis, or say `single: true`"
    )
    assert load(tmp_path, "single: true", **kubernetes).store == "embedded"


# Secrets in files.


def test_secrets_may_stand_in_files(tmp_path):
    (tmp_path / "store").write_text("redis://ana:pw@h\n")
    (tmp_path / "force").write_text("s3cret\n")
    (tmp_path / "token").write_text("t0ken\n")
    text = "store_file: store\nforce_secret_file: force\nadmin: {tokens: [{name: a, role: viewer, token_file: token}]}"

    settings = load(tmp_path, text)

    assert settings.store == "redis://ana:pw@h"
    assert settings.force_secret is not None
    assert settings.force_secret.get_secret_value() == "s3cret"
    assert settings.admin.tokens[0].secret == "t0ken"


@pytest.mark.parametrize("content", ["root:x:0:0:hush:/root:/bin/sh\n", "hush", "redis://:hush@h:x/0", "hush://a"])
def test_a_store_file_that_holds_no_address_is_never_printed(tmp_path, content):
    (tmp_path / "s").write_text(content)

    problem = one_problem(tmp_path, "store_file: s")

    assert problem.startswith("config.yaml:1:13: store_file: what s holds is no address; should be embedded, redis://")
    assert "hush" not in problem


@pytest.mark.parametrize(("content", "problem"), [(b"", "s is empty"), (b"\xff", "s cannot be read: it is no text")])
def test_a_secret_file_without_a_secret_is_refused(tmp_path, content, problem):
    (tmp_path / "s").write_bytes(content)

    assert one_problem(tmp_path, "force_secret_file: s") == f"config.yaml:1:20: force_secret_file: {problem}"


def test_what_a_secret_file_says_is_checked_too(tmp_path):
    (tmp_path / "s").write_text("redi://ana:hunter2@h")
    found = one_problem(tmp_path, "store_file: s")

    assert found.startswith("config.yaml:1:13: store_file: what s holds is no address; should be embedded, redis://")
    assert "hunter2" not in found


# Schemas for editors.


def test_the_schema_of_the_settings_names_every_key():
    schema = json_schema("settings")

    assert set(schema["properties"]) == set(Settings.model_fields)
    assert schema["additionalProperties"] is False


def test_the_schema_of_rules_asks_for_a_component_only():
    schema = json_schema("rules")

    assert schema["required"] == ["component"]
    assert {"weight", "routes", "after", "sticky"} <= set(schema["properties"])


def test_variables_have_the_names_of_their_settings():
    names = variables()

    assert names["BANYAN_SIDES__LEGACY__LIMITS__CONNECTIONS"] == ("sides", "legacy", "limits", "connections")
    assert config.CONFIG_VARIABLE not in names


# TLS: files that are named, and what is in them


def test_files_of_tls_are_relative_to_the_file_that_names_them(tmp_path):
    settings = load(tmp_path, "tls: {cert: a.pem, key: /b}\nsides: {legacy: {url: https://a, tls: {ca: c/d}}}\n")

    assert settings.tls == ListenerTls(cert=tmp_path / "a.pem", key=Path("/b"))
    assert settings.sides.legacy.tls.ca == tmp_path / "c/d"


def test_files_of_tls_in_variables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load_settings(None, {"BANYAN_TLS__CERT": "a.pem", "BANYAN_SIDES__MODERN__URL": "https://a"})

    assert settings.tls.cert == tmp_path / "a.pem"
    assert settings.sides.modern.files == DialingFiles()


def test_what_the_files_hold_is_looked_at_by_whoever_needs_them(tmp_path):
    (tmp_path / "ca.pem").write_text("nothing")
    path = tmp_path / "config.yaml"
    path.write_text(
        "tls:\n  cert: missing.pem\n"
        "sides:\n  legacy: {url: https://a, tls: {ca: ca.pem}}\n  modern: {tls: {ca: null}}\n"
    )
    assert load_settings(path, {}).tls.cert == tmp_path / "missing.pem"

    with pytest.raises(ConfigError) as refused:
        load_settings(path, {}, certificates=True)

    assert [str(each).removeprefix(str(tmp_path) + "/") for each in refused.value.problems] == [
        f"config.yaml:2:9: tls.cert: {tmp_path}/missing.pem cannot be read: No such file or directory",
        f"config.yaml:4:38: sides.legacy.tls.ca: {tmp_path}/ca.pem holds no certificate in PEM "
        "(no certificate or crl found)",
    ]
