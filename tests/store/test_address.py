"""What is read out of a store address, and what is never shown of it."""

from __future__ import annotations

import pytest

from proxy.core.errors import ConfigError
from proxy.store.address import Address, parse_address, shown


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://h:6379/2", Address("redis://h:6379/2", "redis://h:6379/2")),
        ("rediss://ana:pw@h", Address("rediss://ana:pw@h", "rediss://ana:***@h")),
        ("unix:///run/r.sock?db=1&password=pw", Address("unix:///run/r.sock?db=1&password=pw", "unix:///run/r.sock")),
        (
            "redis+sentinel://:pw@a:1,b/rules/3?sentinel_password=sp",
            Address(
                url="redis://:pw@master/3",
                shown="redis+sentinel://:***@a:1,b/rules/3",
                sentinels=(("a", 1), ("b", 26379)),
                service="rules",
                sentinel_login=(("password", "sp"),),
            ),
        ),
        (
            "rediss+sentinel://[::1]:5/m?ssl_ca_certs=/ca",
            Address("rediss://master/?ssl_ca_certs=%2Fca", "rediss+sentinel://[::1]:5/m", (("::1", 5),), "m"),
        ),
    ],
)
def test_an_address_is_taken_apart(url, address):
    assert parse_address(url) == address


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("localhost:6379", "should begin with redis://, rediss://, unix:// or redis+sentinel://"),
        ("http://h", "should begin with redis://"),
        ("redis://", "should name a host"),
        ("redis://h:99999", "should have a number from 1 to 65535 as its port"),
        (
            "redis://h:notaport/0",
            "should have a number from 1 to 65535 as its port, as in redis://host:6379/0; is 'redis://h:notaport/0'",
        ),
        ("redis://h:0", "should have a number from 1 to 65535 as its port"),
        ("redis+sentinel://a:x/m", "should have a number from 1 to 65535 as its port"),
        ("redis://h/main", "should end with the number of a database, ends with 'main'"),
        ("unix://", "should name the path of a socket"),
        ("unix://" + "/x" * 60, "at most 107 bytes, has 120"),
        ("redis+sentinel://a:1", "should be redis+sentinel://host:port,host:port/service/db"),
        ("redis+sentinel://a:1/m/x", "should end with the number of a database"),
        ("redis+sentinel://:9/m", "should name sentinels as host:port"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_with_what_would_be_right(url, what):
    with pytest.raises(ConfigError, match="store: ") as refused:
        parse_address(url)
    assert what in str(refused.value)


def test_a_password_is_never_shown():
    assert shown("redis://ana:s3cr:et@h:1/0?password=s3cret") == "redis://ana:***@h:1/0"
    with pytest.raises(ConfigError) as refused:
        parse_address("redis://:s3cret@/0?password=s3cret")
    assert "s3cret" not in str(refused.value)
