"""`driftgate nodeset`: another tool loads the file, and finds what a client finds on the running gateway."""

import asyncio

import pytest
from asyncua import Server, ua
from gateway import ROOT, node, run

INSTANCES = "urn:driftgate:ua:instances"


@pytest.fixture(scope="module")
def exported(demo, tmp_path_factory):
    """The nodeset of the demo's own configuration, which is read over OPC UA."""
    directory = tmp_path_factory.mktemp("nodeset")
    config, out = directory / "demo.toml", directory / "demo.xml"
    with demo.client() as client:
        file = node(client, "Gateway.Configuration.File")
        handle = file.call_method("0:Open", ua.Variant(1, ua.VariantType.Byte))
        text = file.call_method("0:Read", ua.Variant(handle, ua.VariantType.UInt32), ua.Variant(4_000_000, ua.VariantType.Int32))
        file.call_method("0:Close", ua.Variant(handle, ua.VariantType.UInt32))
    config.write_bytes(text)
    done = run("nodeset", "--config", config, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


async def tree(get, start, namespace):
    """Below a node: id, class, data type, access level, type definition's number of each instance."""
    found, queue = {}, [start]
    while queue:
        for child in await get(queue.pop()).get_children():
            if child.nodeid.NamespaceIndex != namespace or child.nodeid.Identifier in found:
                continue
            node_class = await child.read_node_class()
            facts = [node_class.name, (await child.read_browse_name()).Name]
            if node_class == ua.NodeClass.Variable:
                data_type = await child.read_data_type()
                level = (await child.read_attribute(ua.AttributeIds.AccessLevel)).Value.Value
                facts += [data_type.Identifier, level, await child.read_value_rank()]
            if node_class != ua.NodeClass.Method:
                facts.append((await child.read_type_definition()).Identifier)
            found[child.nodeid.Identifier] = facts
            queue.append(child.nodeid)
    return found


def test_another_tool_finds_the_same_tree(demo, exported):
    async def both():
        from asyncua import Client

        server = Server()
        await server.init()
        await server.import_xml(str(exported))
        index = await server.get_namespace_index(INSTANCES)
        imported = await tree(server.get_node, server.nodes.objects.nodeid, index)
        async with Client(demo.endpoint, timeout=60) as client:
            browsed = await tree(client.get_node, client.nodes.objects.nodeid, 2)
        return imported, browsed

    imported, browsed = asyncio.run(both())
    assert len(browsed) > 500
    assert set(imported) == set(browsed)
    different = {path: (imported[path], browsed[path]) for path in browsed if imported[path] != browsed[path]}
    assert not different, dict(list(different.items())[:10])


def test_code_lists_units_and_arguments_are_in_the_file(exported):
    async def read():
        server = Server()
        await server.init()
        await server.import_xml(str(exported))
        index = await server.get_namespace_index(INSTANCES)
        get = lambda path: server.get_node(ua.NodeId(path, index)).read_value()
        codes = await get("Motor1.Drift.Status.EnumValues")
        unit = await get("Motor1.Signals.TempWinding.EngineeringUnits")
        arguments = await get("Gateway.Configuration.File.Read.InputArguments")
        return codes, unit, arguments

    codes, unit, arguments = asyncio.run(read())
    assert [code.DisplayName.Text for code in codes][:3] == ["NotEvaluated", "Learning", "OK"]
    assert unit.DisplayName.Text == "degC"
    assert [argument.Name for argument in arguments] == ["FileHandle", "Length"]


def test_it_goes_to_standard_output_too():
    done = run("nodeset", "--config", ROOT / "configs" / "minimal.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<?xml") and "ns=2;s=Gateway.Health" in done.stdout
