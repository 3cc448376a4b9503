"""The configuration: a YAML file, the environment in it, and the environment over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, SecretStr, ValidationError

from forebay.middleware.config import Config, Spec, load_config, parse_config
from forebay.middleware.errors import ConfigError
from forebay.middleware.records import Mode
from forebay.middleware.registry import Settings, settings_error

SECRET = "s3cret-canary"


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "forebay.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def load(path: Path, **environ: str) -> Config:
    return load_config(path, environ=environ)


def refusal(path: Path, **environ: str) -> str:
    with pytest.raises(ConfigError) as raised:
        load(path, **environ)
    return str(raised.value)


def test_without_a_file_all_defaults_hold() -> None:
    config = load_config(None, environ={})
    assert config == Config()
    assert config.mode is Mode.SERVE
    assert (config.cache.exact, config.cache.semantic) == (Mode.SERVE, Mode.SERVE)
    assert (config.context.type, config.acceptance.type, config.judge.type) == ("reading", "verified", "cascade")
    assert config.limit.type == "none"
    assert config.secret is None


def test_an_empty_file_means_the_defaults(write: Any) -> None:
    assert load(write("# nothing yet\n")) == Config()


def test_a_file_sets_what_it_names(write: Any) -> None:
    config = load(
        write("mode: shadow\ncache:\n  neighbours: 7\nstore:\n  type: memory\n  size: 3\nplugins: [one, two]\n")
    )
    assert config.mode is Mode.SHADOW
    assert config.cache.neighbours == 7
    assert config.cache.twins is True
    assert (config.store.type, dict(config.store.settings)) == ("memory", {"size": 3})
    assert config.plugins == ("one", "two")


@pytest.mark.parametrize("written", ["off", "'off'", "OFF", '"off"'])
def test_off_means_off_although_yaml_takes_it_for_false(write: Any, written: str) -> None:
    if written == "OFF":
        assert load(write("mode: OFF")).mode is Mode.OFF
        return
    config = load(write(f"mode: {written}\ncache: {{exact: {written}, semantic: {written}}}\nrules: [{{mode: off}}]"))
    assert config.mode is config.cache.exact is config.cache.semantic is config.rules[0].mode is Mode.OFF
    assert load_config(None, environ={"FOREBAY__MODE": "off"}).mode is Mode.OFF


def test_on_is_not_a_mode(write: Any) -> None:
    assert refusal(write("mode: on")).endswith("mode: Input should be 'off', 'shadow' or 'serve', got True")


def test_variables_are_replaced(write: Any) -> None:
    path = write("state_dir: ${BASE}/x/${NAME:-fallback}\nlitellm: {flight_deadline_s: '${DEADLINE}'}\n")
    config = load(path, BASE="/data", DEADLINE="12.5")
    assert config.state_dir == "/data/x/fallback"
    assert config.litellm.flight_deadline_s == 12.5
    assert load(path, BASE="", NAME="n", DEADLINE="1").state_dir == "/x/n"
    assert load(path, BASE="b", NAME="", DEADLINE="1").state_dir == "b/x/fallback"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("$${HOME}", "${HOME}"),
        ("a$${b}c${X}", "a${b}cx"),
        ("${X}${X}", "xx"),
        ("$X", "$X"),
        ("${X", "${X"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b}", "a:-b"),
        ("${1X}", "${1X}"),
        ("$$", "$$"),
    ],
)
def test_how_variables_are_written(write: Any, written: str, value: str) -> None:
    assert load(write(f"state_dir: '{written}'"), X="x").state_dir == value


def test_variables_are_replaced_in_lists_and_in_components(write: Any) -> None:
    config = load(
        write("plugins: ['${P}']\nanswer_checks: [{type: '${P}', depth: '${N:-3}'}]\ncache: {twins: '${T}'}"),
        P="mine",
        T="false",
    )
    assert config.plugins == ("mine",)
    assert config.answer_checks[0].type == "mine"
    assert config.answer_checks[0].settings == {"depth": "3"}
    assert config.cache.twins is False


@pytest.mark.parametrize(
    "secret", ["0123456789012345", "pass: word # not a comment", "{not yaml at all", "null-and-void-null", "1_000" * 4]
)
def test_a_secret_from_the_environment_is_taken_as_it_is(write: Any, secret: str) -> None:
    assert load(write("secret: ${S}"), S=secret).secret == secret


def test_a_variable_that_is_not_set_is_named_with_its_place(write: Any) -> None:
    message = refusal(write("store:\n  type: milvus\n  uris: [a, '${URI}']\n"))
    assert message.endswith(
        "forebay.yaml: store.uris.1: environment variable URI is not set; set it or write ${URI:-default}"
    )


def test_the_environment_overrides_the_file_and_is_read_as_yaml(write: Any) -> None:
    path = write("mode: shadow\ncache: {neighbours: 7, twins: true}\n")
    config = load(
        path,
        FOREBAY__MODE="serve",
        FOREBAY__CACHE__TWINS="false",
        FOREBAY__CACHE__LOOKUP_DEADLINE_MS="12.5",
        FOREBAY__PLUGINS="[a, b]",
        FOREBAY__STORE="{type: memory, size: 2}",
        FOREBAY__TELEMETRY__EXPORTER__TYPE="otlp",
        FOREBAY_CONFIG="ignored",
        OTHER="ignored",
    )
    assert config.mode is Mode.SERVE
    assert (config.cache.neighbours, config.cache.twins, config.cache.lookup_deadline_ms) == (7, False, 12.5)
    assert config.plugins == ("a", "b")
    assert config.store.settings == {"size": 2}
    assert config.telemetry.exporter is not None
    assert config.telemetry.exporter.type == "otlp"


def test_the_environment_overrides_what_is_no_mapping_and_leaves_the_callers_data_alone() -> None:
    data: dict[str, Any] = {"cache": {"neighbours": 7}, "store": "wrong"}
    config = parse_config(data, environ={"FOREBAY__STORE__TYPE": "memory", "FOREBAY__CACHE__NEIGHBOURS": "8"})
    assert config.store.type == "memory"
    assert config.cache.neighbours == 8
    assert data == {"cache": {"neighbours": 7}, "store": "wrong"}


@pytest.mark.parametrize("text", ["[", "a: b: c", "2024-13-45"])
def test_an_override_that_is_not_yaml_is_named(write: Any, text: str) -> None:
    message = refusal(write("mode: serve"), FOREBAY__STATE_DIR=text)
    assert message == "FOREBAY__STATE_DIR: value is not YAML; quote it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mod: off", "mod: unknown key 'mod'. Did you mean 'mode'?"),
        ("cache: {neighbors: 3}", "cache.neighbors: unknown key 'neighbors'. Did you mean 'neighbours'?"),
        ("rules: [{mode: serve, modell: x}]", "rules.0.modell: unknown key 'modell'."),
        ("telemetry: {zzz: 1}", "telemetry.zzz: unknown key 'zzz'. Known: enabled, exporter, "),
        ("1: x", "1: unknown key '1'. Known: acceptance, "),
    ],
)
def test_an_unknown_key_is_named_with_file_place_and_nearest_key(write: Any, text: str, message: str) -> None:
    assert f"forebay.yaml: {message}" in refusal(write(text))


def test_an_unknown_override_names_the_variable(write: Any) -> None:
    message = refusal(write("mode: serve"), FOREBAY__CACHE__SEMANTICS="serve")
    assert message == "FOREBAY__CACHE__SEMANTICS: cache.semantics: unknown key 'semantics'. Did you mean 'semantic'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cache: {neighbours: many}", "cache.neighbours: Input should be a valid integer"),
        ("cache: {neighbours: 0}", "cache.neighbours: Input should be greater than or equal to 1, got 0"),
        ("admission: {queue_timeout_s: -1}", "admission.queue_timeout_s: Input should be greater than 0, got -1"),
        ("engine: {base_url: x}", "engine.type: Field required"),
        ("store: milvus", "store: Input should be"),
        ("rules: [{percent: 101, mode: serve}]", "rules.0.percent: Input should be less than or equal to 100, got 101"),
        ("mode: loud", "mode: Input should be 'off', 'shadow' or 'serve', got 'loud'"),
        ("- a list", "must hold settings as 'key: value' lines"),
        ("just text", "must hold settings as 'key: value' lines"),
        ("mode: [serve\ncache: {}", "not YAML at line 2, column 6"),
        ("a:\n\tb: 1", "not YAML at line 2, column 1"),
        ("a: \x00", "not YAML"),
        ("created: 2024-13-45", "holds a value that cannot be read (month must be in 1..12); quote it"),
        (b"\xff\xfe", "cannot be read as UTF-8 text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(write: Any, text: str | bytes, message: str) -> None:
    assert f"forebay.yaml: {message}" in refusal(write(text))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.yaml").endswith("none.yaml: no such file; check FOREBAY_CONFIG or the path")
    assert "cannot be read as UTF-8 text" in refusal(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        f"secret: {SECRET}",  # too short
        f"secret: [{SECRET}]",
        f"secret: {{{SECRET}: {SECRET}}}",
        f"secret: {SECRET}\nmod: off",
    ],
)
def test_the_secret_is_in_no_message(write: Any, text: str) -> None:
    assert SECRET not in refusal(write(text))


def test_a_short_secret_is_refused_with_the_way_out(write: Any) -> None:
    message = refusal(write("mode: serve"), FOREBAY__SECRET=SECRET)
    assert message.startswith("FOREBAY__SECRET: secret: ")
    assert "needs at least 16 characters; leave it out and forebay makes one in state_dir" in message


class _Remote(Settings):
    token: SecretStr
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    port: int = 1


@pytest.mark.parametrize("settings", [{"token": [SECRET]}, {"token": "x", "headers": {"key": [SECRET]}}])
def test_a_components_secrets_are_in_no_message(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as raised:
        _Remote.model_validate(settings)
    error = settings_error(raised.value, _Remote, path="store")
    assert SECRET not in str(error)
    assert "valid string" in str(error)


def test_other_wrong_values_of_components_are_shown() -> None:
    with pytest.raises(ValidationError) as raised:
        _Remote.model_validate({"token": "x", "port": "many"})
    assert str(settings_error(raised.value, _Remote, path="store")).endswith("got 'many'")


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().mode = Mode.OFF


def test_rules_are_read_in_order(write: Any) -> None:
    config = load(write("rules:\n- {model: 'gpt-*', mode: serve, percent: '10'}\n- {tenant: t, mode: shadow}\n"))
    assert [(rule.model, rule.tenant, rule.mode, rule.percent) for rule in config.rules] == [
        ("gpt-*", "*", Mode.SERVE, 10.0),
        ("*", "t", Mode.SHADOW, 100.0),
    ]


def names(specs: tuple[Spec, ...]) -> list[str]:
    return [spec.type for spec in specs]


def test_named_components_are_given_on_top_of_the_defaults() -> None:
    config = parse_config({"predictors": {"length": "off", "work": {"a": 1}, "mine": None}}, environ={})
    assert names(config.predictors) == ["fingerprint", "neighbours", "work", "difficulty", "mine"]
    assert dict(config.predictors[2].settings) == {"a": 1}
    environ = {"FOREBAY__CLASSIFIERS__VOLATILITY": "off", "FOREBAY__STREAM__FORECAST": "false"}
    config = parse_config({"classifiers": {"priority": {}}}, environ=environ)
    assert names(config.classifiers) == ["profile", "priority"]
    assert names(config.stream) == ["pattern"]


def test_a_named_component_that_is_neither_settings_nor_off_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"predictors\.length must hold settings"):
        parse_config({"predictors": {"length": 7}}, environ={})
