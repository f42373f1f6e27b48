"""
Settings from `config.yaml` and the environment: read once, at the start, and refused whole with every reason.

The room between the operator's words and `settings.py`: it finds the file, lays variables over it, fetches secrets
from their files and makes paths absolute. It keeps no defaults and opens nothing but those files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from proxy import yamlfile
from proxy.addresses import EMBEDDED, checked_store
from proxy.core.errors import ConfigError, Position, Problem
from proxy.core.model import Component, Side
from proxy.core.problems import Location, did_you_mean, place, problem, problems_of
from proxy.settings import Settings, Token, contradictions
from proxy.wire.certificates import BadCertificate

PREFIX = "BANYAN_"
CONFIG_VARIABLE = "BANYAN_CONFIG"
DEBUG_VARIABLE = "BANYAN_DEBUG"  # of the command line: show tracebacks
DEFAULT_FILE = "config.yaml"

_RIVALS = {"store": "store_file", "force_secret": "force_secret_file", "url": "urls"}
_RIVALS |= {rival: name for name, rival in _RIVALS.items()}
_M = TypeVar("_M", bound=BaseModel)
_UNREADABLE = object()  # a variable whose text is no YAML: reported, and then as if it were not set
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# Kubernetes tells every container of the Services beside it: one called `banyan` gives BANYAN_PORT=tcp://…
_SERVICE_LINK = re.compile(r"BANYAN_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def find_config(given: Path | None, env: Mapping[str, str], cwd: Path) -> Path | None:
    """Return the file that counts: the one given, else BANYAN_CONFIG, else ./config.yaml if there is one."""
    if given is not None:
        return given
    if env.get(CONFIG_VARIABLE):
        return Path(env[CONFIG_VARIABLE])
    return cwd / DEFAULT_FILE if (cwd / DEFAULT_FILE).exists() else None


@dataclass(frozen=True, slots=True)
class Config:
    """Settings, and what the file at `path` held when they were made of it."""

    path: Path | None
    text: str | None
    settings: Settings


def read_config(path: Path | None, env: Mapping[str, str]) -> Config:
    """Return the settings for whoever runs by them, with the text that they were made of; raises ConfigError."""
    text = text_of(path)
    return Config(path, text, load_settings(path, env, text, certificates=True))


def text_of(path: Path | None) -> str | None:
    """Return what a file holds; None when it cannot be read: `load_settings` says why."""
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text() if path is not None else None
    return None


def load_settings(
    path: Path | None, env: Mapping[str, str], text: str | None = None, *, certificates: bool = False
) -> Settings:
    """
    Return the settings of a file (None: none, the defaults) with the variables of `env` laid over it.

    `certificates` looks into the files of TLS, too: for whoever needs them; an operator may not be able to read a key.
    Every path in the result is absolute: relative ones were relative to the file, or to the working directory when a
    variable said them. `text` is what the file held, if it is not to be read again. Raises ConfigError with every
    problem of file and environment.
    """
    return _Loading(env, Path.cwd(), certificates, text).load(path)


def json_schema(of: Literal["settings", "rules"]) -> dict[str, Any]:
    """Return the JSON Schema of `config.yaml` or of one component's rule file, for editors."""
    schema = (Settings if of == "settings" else Component).model_json_schema(by_alias=True)
    if of == "rules":
        schema["required"] = [name for name in schema["required"] if name != "cohort"]  # filled in from the name
    title = "Banyan settings (config.yaml)" if of == "settings" else "Banyan rules of one component (rules/*.yaml)"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}


def variables() -> dict[str, Location]:
    """Return every environment variable that is heeded, with the path of the setting that it gives."""
    return {PREFIX + "__".join(map(str, path)).upper(): path for path, _ in _fields(Settings, ())}


@dataclass(slots=True)
class _Loading:
    """One reading of the settings: what was found so far, and where each value came from."""

    env: Mapping[str, str]
    cwd: Path
    certificates: bool = False
    text: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    positions: dict[Location, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    file: str = DEFAULT_FILE
    base: Path = Path()

    def load(self, path: Path | None) -> Settings:
        self.base = self.cwd
        if path is not None:
            self._read(path)
        self._overlay()
        self._fetch("store")
        self._fetch("force_secret")
        settings = self._validated()
        if settings is not None:
            self._check(settings)
            settings = self._placed(settings, ())
            if self.certificates:
                self._check_certificates(settings)
        if self.problems or settings is None:
            raise ConfigError(sorted(set(self.problems)))
        return settings

    def _placed(self, part: _M, above: Location) -> _M:
        """Return the settings with every path made absolute, also those further down."""
        placed: dict[str, Any] = {}
        for name, value in part:
            if isinstance(value, Path):
                placed[name] = self._absolute((*above, name), value)
            elif isinstance(value, BaseModel):
                placed[name] = self._placed(value, (*above, name))
        return part.model_copy(update=placed)

    def _read(self, path: Path) -> None:
        self.base = (self.cwd / path).parent
        self.file = str(path.relative_to(self.cwd)) if path.is_relative_to(self.cwd) else str(path)
        if self.text is None:
            document = yamlfile.load(path, self.file, pipes=True)
        else:
            document = yamlfile.parse(self.text, self.file)
        self.problems += document.problems
        self.positions = dict(document.positions)
        if isinstance(document.values, dict):
            self.values = document.values
        elif document.values is not None:
            self.problems.append(problem(self.positions, (), self.file, "should be a mapping of settings"))

    def _overlay(self) -> None:
        known = variables()
        kinds = dict(_fields(Settings, ()))
        allowed = {CONFIG_VARIABLE, DEBUG_VARIABLE, *self._token_variables()}
        for name, text in sorted(self.env.items()):
            if not name.startswith(PREFIX) or name in allowed or not text:  # `X=` in a compose file means: not set
                continue
            if name in known:
                self._set(known[name], self._meant(name, text, kinds[known[name]]), name)
            elif not self._is_service_link(name):
                meant = did_you_mean(name.removeprefix(PREFIX), [other.removeprefix(PREFIX) for other in known])
                hint = f"; did you mean `{PREFIX}{meant}`?" if meant else ""
                self.problems.append(Problem(Position(name), "", f"no such variable{hint}"))

    def _token_variables(self) -> Iterator[str]:
        admin = self.values.get("admin")
        tokens = admin.get("tokens") if isinstance(admin, dict) else None
        for token in tokens if isinstance(tokens, list) else ():
            if isinstance(token, dict) and isinstance(token.get("env"), str):
                yield token["env"]

    def _is_service_link(self, name: str) -> bool:
        return "KUBERNETES_SERVICE_HOST" in self.env and _SERVICE_LINK.fullmatch(name) is not None

    def _meant(self, name: str, text: str, kind: Any) -> object:
        if _takes_text(kind):
            return text
        if kind is bool and text.lower() in _TRUTH:
            return _TRUTH[text.lower()]
        document = yamlfile.parse(text, name)
        self.problems += (Problem(Position(name), each.where, each.what) for each in document.problems)
        return _UNREADABLE if document.values is None else document.values

    def _set(self, path: Location, value: object, name: str) -> None:
        at: Any = self.values
        for step in path[:-1]:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                return  # what stands in the file there is refused anyway
        rival = _RIVALS.get(str(path[-1]), "")
        if value is _UNREADABLE:
            return
        if rival in at and not self._said_by_variable((*path[:-1], rival)):
            del at[rival]
        at[path[-1]] = value
        self.positions = {place: at for place, at in self.positions.items() if place[: len(path)] != path}
        self.positions[path] = Position(name)

    def _fetch(self, name: str) -> None:
        source = f"{name}_file"
        if not isinstance(self.values.get(source), str):
            return None
        if self.values.get(name) is not None:
            self._report((source,), f"says what `{name}` says too; give one of them")
        elif (text := self._secret((source,), self.values[source])) is not None:
            if name == "store" and not _is_store(text):  # whatever the file is: its content is not for a log
                right = "embedded, redis://host:6379/0, rediss://…, unix:///path or redis+sentinel://host:port/name/0"
                return self._report((source,), f"what {self.values[source]} holds is no address; should be {right}")
            self.values[name] = text
            self.positions[name,] = self.positions[source,]
        return None

    def _secret(self, path: Location, file: str | Path) -> str | None:
        try:
            text = self._absolute(path, file).read_text().strip()
        except (OSError, UnicodeDecodeError, ValueError) as exc:
            self._report(path, f"{file} cannot be read: {getattr(exc, 'strerror', None) or 'it is no text'}")
            return None
        if not text:
            self._report(path, f"{file} is empty")
        return text or None

    def _absolute(self, path: Location, file: str | Path) -> Path:
        return (self.cwd if self._said_by_variable(path) else self.base) / Path(file).expanduser()

    def _said_by_variable(self, path: Location) -> bool:
        return place(self.positions, path, self.file).file.startswith(PREFIX)

    def _validated(self) -> Settings | None:
        try:
            return Settings.model_validate(self.values)
        except ValidationError as exc:
            said = {each.at for each in self.problems if each.at.line}  # a bad scalar is bad once
            for each in problems_of(exc, self.positions, self.file, Settings):
                if each.at not in said:
                    self.problems.append(each)
            return None

    def _check(self, settings: Settings) -> None:
        for path, what in contradictions(settings):
            self._report(path, what)
        if settings.store == EMBEDDED and not settings.single and "KUBERNETES_SERVICE_HOST" in self.env:
            why = "`embedded` under Kubernetes would give every pod rules of its own"
            self._report(("store",), f"{why}; give the address of a Redis, or say `single: true`")
        for index, token in enumerate(settings.admin.tokens):
            self._take(("admin", "tokens", index), token)

    def _check_certificates(self, settings: Settings) -> None:
        sides = ((("sides", side.value, "tls"), settings.side(side).files) for side in Side)
        for path, files in ((("tls",), settings.tls.files), *sides):
            try:
                if files is not None:
                    files.context()
            except BadCertificate as exc:
                self._report((*path, exc.key), str(exc))

    def _take(self, path: Location, token: Token) -> None:
        if token.token_file is not None:
            secret = self._secret((*path, "token_file"), token.token_file)
        else:
            secret = self.env.get(token.env or "", "").strip() or None
            if secret is None:
                self._report((*path, "env"), f"the variable {token.env} is not set")
        if secret is not None:
            token.take(secret)

    def _report(self, path: Location, what: str) -> None:
        self.problems.append(problem(self.positions, path, self.file, what))


def _is_store(text: str) -> bool:
    try:
        checked_store(text)
    except ValueError:
        return False
    return text.isprintable()


def _fields(model: type[BaseModel], above: Location) -> Iterator[tuple[Location, Any]]:
    for name, info in model.model_fields.items():
        yield (*above, name), info.annotation
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _fields(info.annotation, (*above, name))


def _takes_text(kind: Any) -> bool:
    """Say whether a setting is a text of its own, whatever YAML would make of it."""
    if get_origin(kind) in (Union, UnionType):
        return any(map(_takes_text, get_args(kind)))
    if get_origin(kind) is Annotated:
        return _takes_text(get_args(kind)[0])
    return kind in (str, Path, SecretStr) or get_origin(kind) is Literal
