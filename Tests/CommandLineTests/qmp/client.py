"""PyPI's qemu.qmp, unchanged, against a running machine: client.py SOCKET. Prints "ok" at the end."""
import asyncio
import sys

from qemu.qmp import ExecuteError, QMPClient


async def fails(client, word, command, arguments=None):
    try:
        answer = await client.execute(command, arguments or {})
    except ExecuteError as error:
        assert word in str(error), error
        return error.error_class
    raise AssertionError(f"{command} answered {answer}")


async def main(path):
    client = QMPClient("test")
    await client.connect(path)
    assert client.greeting._asdict()["QMP"]["version"]["package"].startswith("backplane-")
    names = {command["name"] for command in await client.execute("query-commands")}
    assert {"stop", "cont", "quit", "system_reset", "human-monitor-command", "policy-insert"} <= names, names
    assert (await client.execute("query-status"))["running"] is True
    await client.execute("stop")
    assert await client.execute("query-status") == {"running": False, "status": "paused"}
    await client.execute("cont")

    first = await client.execute("policy-insert", {"plugin": "stats", "id": "s", "properties": {"top": 3}})
    assert first == {"id": "s"}, first
    assert [policy["id"] for policy in await client.execute("query-policies")] == ["s", "rules"]
    await client.execute("property-set", {"instance": "s", "property": "top", "value": 4})
    assert await client.execute("property-get", {"instance": "s", "property": "top"}) == 4
    assert isinstance(await client.execute("call-method", {"instance": "s", "method": "count", "arguments": ["io"]}), int)
    await client.execute("policy-move", {"id": "s", "position": "last"})
    await client.execute("policy-replace", {"id": "s", "plugin": "stats"})
    await client.execute("policy-remove", {"id": "s"})
    assert await fails(client, "no policy 's'", "policy-remove", {"id": "s"}) == "GenericError"
    assert await fails(client, "nothing-like-it", "policy-insert", {"plugin": "nothing-like-it"}) == "GenericError"
    assert await fails(client, "has not been found", "no-such-command") == "CommandNotFound"
    await fails(client, "missing", "policy-insert")
    await fails(client, "No balloon device", "query-balloon")
    await fails(client, "no method 'resize'", "block_resize", {"device": "com1", "size": 1 << 20})
    await fails(client, "unexpected", "query-status", {"colour": "red"})
    assert "VM status: running" in await client.execute("human-monitor-command", {"command-line": "info status"})
    assert [machine["name"] for machine in await client.execute("query-machines")] == ["small"]
    types = {plugin["name"] for plugin in await client.execute("query-plugins")}
    assert {"standard", "flat", "uart16550"} <= types, types
    assert any(claim["owner"] == "com1" for claim in await client.execute("query-claims"))
    assert {"from": "com1", "slot": "stream", "position": 0, "interface": "stream/1", "to": "term.0"} in \
        await client.execute("query-wiring")

    await client.execute("quit")
    events = []
    try:
        while not events or events[-1] != "SHUTDOWN":
            events.append((await asyncio.wait_for(client.events.get(), 20))["event"])
    finally:
        print(events)
    assert events[:2] == ["STOP", "RESUME"], events
    assert events.count("BACKPLANE_POLICIES_CHANGED") == 4, events
    try:
        await client.disconnect()
    except EOFError:
        pass
    print("ok")


asyncio.run(main(sys.argv[1]))
