"""Alert rules and dashboard: PromQL that is right, of metrics and labels that a service exports."""

import json
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import promql_parser as promql
import pytest
import yaml
from calisthenics.training.v1 import session_pb2 as pb

from tests.observed import Exported, Series
from tests.support import Athlete, free_port, running_service
from training_service.errors import Reason
from training_service.observability.instruments import ALL, metrics_table

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "observability"
DOCUMENT = ROOT / "docs" / "observability.md"
BY_PROMETHEUS = {"instance", "job"}
"""Labels that Prometheus adds where it scrapes."""
KNOWN_VALUES = {
    "grpc_code": {code.name for code in grpc.StatusCode},
    "reason": {reason.value for reason in Reason},
    "grpc_type": {"unary", "server_stream", "bidi_stream"},
    "state": {"in_use", "idle"},
    "limit": {"calls", "form_streams"},
}

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing: it comes with Prometheus"
)


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return loaded


def dashboard_expressions() -> list[str]:
    found = [t["expr"] for panel in dashboard()["panels"] for t in panel["targets"]]
    return [one.replace("$__rate_interval", "5m") for one in found]


EXPRESSIONS = [rule["expr"] for rule in rules()] + dashboard_expressions()


@pytest.fixture(scope="module")
def exported(database_url: str) -> dict[str, set[str]]:
    """The labels of each metric that a service exports after a few calls."""
    address = f"127.0.0.1:{free_port()}"
    with running_service(database_url, metrics_address=address) as service:
        athlete = Athlete(service.address)
        logged = athlete.log()
        athlete.sessions.GetSession(pb.GetSessionRequest(session_id=logged.id))
        with pytest.raises(grpc.RpcError):
            athlete.sessions.GetSession(pb.GetSessionRequest(session_id=str(uuid.uuid4())))
        athlete.close()
        return labels_by_name(Exported(address).series())


def labels_by_name(series: list[Series]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in series:
        found.setdefault(one.name, set()).update(one.labels)
    return found


def parts(expression: Any) -> Iterator[Any]:
    """Yields an expression and all that is in it."""
    yield expression
    inner = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "param")]
    inner += [getattr(expression, "vector_selector", None), *getattr(expression, "args", [])]
    for one in inner:
        if isinstance(one, promql.Expr):
            yield from parts(one)


def grouped_by(part: Any) -> set[str]:
    """Returns the labels that a part of an expression joins or sums up by."""
    modifier = getattr(part, "modifier", None)
    if isinstance(part, promql.AggregateExpr):
        return set(modifier.labels) if modifier else set()
    if isinstance(part, promql.BinaryExpr) and modifier and modifier.matching:
        return set(modifier.matching.labels)
    return set()


def selectors(expression: str) -> list[promql.VectorSelector]:
    return [p for p in parts(promql.parse(expression)) if isinstance(p, promql.VectorSelector)]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_name_is_of_a_metric_that_is_exported(
    expression: str, exported: dict[str, set[str]]
) -> None:
    found = selectors(expression)
    assert found
    labels: set[str] = set()
    for selector in found:
        assert selector.name in exported
        own = exported[selector.name] | BY_PROMETHEUS
        labels |= own
        for matcher in selector.matchers.matchers:
            assert matcher.name in own
    for part in parts(promql.parse(expression)):
        assert grouped_by(part) <= labels


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_value_that_is_asked_for_can_come(expression: str) -> None:
    for selector in selectors(expression):
        for matcher in selector.matchers.matchers:
            if matcher.name not in BY_PROMETHEUS:
                assert set(matcher.value.split("|")) <= KNOWN_VALUES[matcher.name]


def test_the_checks_see_what_is_inside() -> None:
    expression = 'sum by (a) (rate(x_total{b="c"}[5m])) / on (d) (y or -z) > 1'
    assert [s.name for s in selectors(expression)] == ["x_total", "y", "z"]
    assert set().union(*map(grouped_by, parts(promql.parse(expression)))) == {"a", "d"}


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {s.name for expression in dashboard_expressions() for s in selectors(expression)}
    suffixes = re.compile(r"_(bucket|sum|count)$")
    assert {suffixes.sub("", str(name)) for name in shown} == {one.name for one in ALL}


def test_all_that_is_documented_is_exported_and_nothing_else(
    exported: dict[str, set[str]],
) -> None:
    suffixes = re.compile(r"_(bucket|sum|count|created)$")
    named = {re.sub(suffixes, "", name) for name in exported if not name.endswith("_created")}
    assert named == {one.name for one in ALL}
    for one in ALL:
        own = set().union(*(exported[n] for n in exported if suffixes.sub("", n) == one.name))
        assert own - {"le"} == set(one.labels)
    assert metrics_table() in DOCUMENT.read_text()


def test_panels_have_their_own_ids_and_places() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert len({(place["x"], place["y"]) for place in places}) == len(panels)
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_the_runbook_says_what_to_do_about_each_alert() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    headings = re.findall(r"^### (\w+)$", DOCUMENT.read_text(), re.MULTILINE)
    assert headings == names
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/observability.md#{rule['alert'].lower()}"


def test_every_alert_is_tested_both_ways() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    outcomes = {
        (case["alertname"], bool(case["exp_alerts"]))
        for test in tests
        for case in test["alert_rule_test"]
    }
    assert outcomes == {(rule["alert"], fires) for rule in rules() for fires in (True, False)}


@needs_promtool
@pytest.mark.parametrize("command", [("check", "alerts.yaml"), ("test", "alerts_test.yaml")])
def test_promtool_agrees(command: tuple[str, str]) -> None:
    verb, file = command
    done = subprocess.run(
        ["promtool", verb, "rules", file], cwd=FOLDER, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
