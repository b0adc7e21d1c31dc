"""The HMI projects among the examples: every node that they name is in a running gateway, and can be written where they write."""

import json
import shutil
import subprocess

import pytest
from asyncua import ua
from gateway import ROOT

FUXA = ROOT / "examples/fuxa/driftgate.fuxap"
NODE_RED = ROOT / "examples/node-red/flow.json"


def ids_in(text: str) -> set[str]:
    """Node ids that stand in a program, each in quotes."""
    return {part for quote in "'\"" for part in text.split(quote) if part.startswith("ns=2;s=Motor1.")}


def fuxa() -> tuple[dict[str, str], set[str]]:
    """Node ids of the tags with their types, and those that inputs and buttons write."""
    project = json.loads(FUXA.read_text())
    tags = {tag["id"]: tag for device in project["devices"].values() for tag in device["tags"].values()}
    items = [item for view in project["hmi"]["views"] for item in view["items"].values()]
    written = {
        tags[item["property"]["variableId"]]["address"]
        for item in items
        if item["type"] in ("svg-ext-html_input", "svg-ext-html_button")
    }
    return {tag["address"]: tag["type"] for tag in tags.values()}, written


def node_red() -> tuple[set[str], dict[str, str]]:
    """Node ids that the flow watches, and those that it writes with the type."""
    nodes = json.loads(NODE_RED.read_text())
    watched = {name for node in nodes if node["type"] == "function" for name in ids_in(node["func"])}
    written = {}
    for node in nodes:
        if node["type"] == "change":
            to = {rule["p"]: rule["to"] for rule in node["rules"]}
            written[to["topic"]] = to["datatype"]
    return watched, written


def missing(client, ids) -> list[str]:
    """Which of the ids are no variables."""
    ids = sorted(ids)
    values = client.read_attributes([client.get_node(name) for name in ids], ua.AttributeIds.NodeClass)
    return [name for name, value in zip(ids, values) if value.Value.Value != ua.NodeClass.Variable]


def type_of(client, name: str) -> str:
    return ua.VariantType(client.get_node(name).read_data_type().Identifier).name


def writable(client, name: str) -> bool:
    return ua.AccessLevel.CurrentWrite in client.get_node(name).get_user_access_level()


def test_the_projects_name_nodes():
    """The tests below look at something."""
    assert len(fuxa()[0]) > 40 and len(fuxa()[1]) == 4
    assert len(node_red()[0]) == 9 and len(node_red()[1]) == 1


def test_every_node_of_the_fuxa_project_is_in_the_gateway(demo):
    tags, written = fuxa()
    with demo.client() as client:
        assert missing(client, tags) == []
        # FUXA writes with the type that it has read; what is declared is what people see in its editor. Scripts make texts of some.
        others = {name: type_of(client, name) for name, declared in tags.items() if declared not in ("String", type_of(client, name))}
        assert others == {}
        assert [name for name in written if not writable(client, name)] == []


def test_every_node_of_the_node_red_flow_is_in_the_gateway(demo):
    watched, written = node_red()
    with demo.client() as client:
        assert missing(client, watched | set(written)) == []
        assert {name: type_of(client, name) for name in written} == written
        assert [name for name in written if not writable(client, name)] == []


def test_items_of_the_fuxa_screen_are_bound_to_its_tags():
    project = json.loads(FUXA.read_text())
    tags = {name for device in project["devices"].values() for name in device["tags"]}
    lines = {line["id"] for chart in project["charts"] for line in chart["lines"]}
    scripts = {script["id"] for script in project["scripts"]}
    used = {tag["scaleReadFunction"] for device in project["devices"].values() for tag in device["tags"].values() if "scaleReadFunction" in tag}
    for view in project["hmi"]["views"]:
        for name, item in view["items"].items():
            bound = item["property"].get("variableIds") or [item["property"]["variableId"]]
            assert set(bound) <= tags, name
            assert f'id="{name}"' in view["svgcontent"], name
    assert lines <= tags
    assert used == scripts


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js here; the project file was made with it")
def test_the_fuxa_project_is_what_its_script_writes():
    made = subprocess.run(["node", ROOT / "examples/fuxa/screen.mjs", "--check"], capture_output=True, text=True, timeout=60)
    assert made.returncode == 0, made.stderr
