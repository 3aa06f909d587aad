"""Uses one MCP endpoint with the official Python SDK and prints one JSON line per check.

  client_check.py --mode legacy|auto [--prefix fixture__] --url URL | --sse URL
  client_check.py --mode legacy|auto [--prefix fixture__] -- COMMAND ARGS...

A line is {"name": ..., "req": ..., "error": null or a traceback}. The exit code is 0 when every
check ran, whatever it found: the caller judges by the lines.
"""

import argparse
import json
import traceback
import uuid
import warnings

import anyio
from mcp import Client, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.shared.exceptions import MCPError

WATCHED = "test://watched-resource"
CHECKS = []


def check(req, modes=("legacy", "auto")):
    def register(function):
        CHECKS.append((function.__doc__, req, modes, function))
        return function

    return register


def text_of(result):
    return "".join(block.text for block in result.content)


class Asked:
    """Callbacks that answer what a server asks, and remember that it asked."""

    def __init__(self):
        self.kinds = set()

    async def elicit(self, _context, params):
        self.kinds.add("elicitation")
        fields = params.requested_schema["properties"]
        return types.ElicitResult(action="accept", content={name: f"my {name}" for name in fields})

    async def sample(self, _context, params):
        self.kinds.add("sampling")
        message = params.messages[0].content
        content = types.TextContent(type="text", text=f"echo {message.text}")
        return types.CreateMessageResult(role="assistant", content=content, model="test-model")

    async def roots(self, _context):
        self.kinds.add("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/tester/project")])


class Setting:
    def __init__(self, arguments):
        self.arguments = arguments
        self.mode = arguments.mode
        self.changes = []

    def name(self, plain):
        return f"{self.arguments.prefix}{plain}"

    async def on_message(self, message):
        self.changes.append(message)

    def open(self, **options):
        endpoint = self.arguments.url
        if self.arguments.sse:
            endpoint = sse_client(self.arguments.sse)
        elif not endpoint:
            command, *args = self.arguments.command
            endpoint = StdioServerParameters(command=command, args=args)
        return Client(endpoint, mode=self.mode, message_handler=self.on_message, read_timeout_seconds=30, **options)

    async def call(self, client, plain, arguments=None, **options):
        return await client.call_tool(self.name(plain), arguments or {}, **options)

    async def report(self, client):
        return json.loads(text_of(await self.call(client, "test_report")))

    async def until(self, what, probe):
        with anyio.move_on_after(15):
            while not await probe():
                await anyio.sleep(0.02)
            return
        raise AssertionError(f"{what}: not in time")


@check("M-FR-001.1 M-AC-5.1.2")
async def negotiates(setting):
    """negotiates and says what it offers"""
    async with setting.open() as client:
        assert client.server_capabilities.tools is not None
        assert client.server_capabilities.prompts is not None
        if setting.mode != "legacy":
            assert client.protocol_version == "2026-07-28", client.protocol_version


@check("M-AC-5.1.2 M-FR-001.3")
async def tools(setting):
    """lists and calls tools, with structured output"""
    async with setting.open() as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert setting.name("test_simple_text") in names, names
        result = await setting.call(client, "test_simple_text")
        assert text_of(result) == "This is a simple text response for testing."
        result = await setting.call(client, "test_structured_output", {"a": 1.5, "b": 2})
        assert result.structured_content == {"sum": 3.5}, result
        failed = await setting.call(client, "test_error_handling")
        assert failed.is_error


@check("M-FR-001.3")
async def resources(setting):
    """reads a resource and a template"""
    async with setting.open() as client:
        uris = [str(each.uri) for each in (await client.list_resources()).resources]
        assert "test://static-text" in uris, uris
        read = await client.read_resource("test://template/7/data")
        assert json.loads(read.contents[0].text)["id"] == "7"


@check("M-FR-001.3 P1-Proto-1")
async def prompts(setting):
    """gets a prompt and completes its argument"""
    async with setting.open() as client:
        name = setting.name("test_prompt_with_arguments")
        got = await client.get_prompt(name, {"arg1": "one", "arg2": "two"})
        assert got.messages[0].content.text == "Prompt with arguments: arg1='one', arg2='two'"
        reference = types.PromptReference(type="ref/prompt", name=name)
        completed = await client.complete(reference, {"name": "arg1", "value": "par"})
        assert completed.completion.values == ["paris", "park", "party"]


@check("M-FR-001.2")
async def progress(setting):
    """sees progress in order"""
    seen = []

    async def on_progress(value, _total, _message):
        seen.append(value)

    async with setting.open() as client:
        await setting.call(client, "test_tool_with_progress", progress_callback=on_progress)
    assert seen == [0, 50, 100], seen


@check("M-FR-001.2")
async def cancellation(setting):
    """cancels a call, and the server that runs it knows"""
    label = str(uuid.uuid4())

    async with setting.open() as client:

        async def has(key):
            return label in (await setting.report(client))[key]

        async with anyio.create_task_group() as group:
            group.start_soon(setting.call, client, "test_wait_until_cancelled", {"label": label})
            await setting.until("the call runs", lambda: has("waiting"))
            group.cancel_scope.cancel()
        await setting.until("the cancel arrives", lambda: has("cancelled"))


@check("M-FR-001.2", modes=("legacy",))
async def changes_legacy(setting):
    """hears of a resource and of a changed list"""
    async with setting.open() as client:
        await client.subscribe_resource(WATCHED)
        await heard(setting, client, "test_trigger_resource_update", types.ResourceUpdatedNotification)
        await client.unsubscribe_resource(WATCHED)
        await heard(setting, client, "test_trigger_tool_change", types.ToolListChangedNotification)


async def heard(setting, client, trigger, kind):
    # The stream for unasked notifications opens in the background: change until it is heard.
    for _ in range(5):
        setting.changes.clear()
        await setting.call(client, trigger)
        with anyio.move_on_after(1.5):
            while not any(isinstance(getattr(each, "root", each), kind) for each in setting.changes):
                await anyio.sleep(0.02)
            return
    raise AssertionError(f"no {kind.__name__} after {trigger}; got {setting.changes}")


@check("M-FR-001.2", modes=("auto",))
async def changes_modern(setting):
    """hears of a resource and of a changed list"""
    async with setting.open() as client:
        for trigger in ("test_trigger_resource_update", "test_trigger_tool_change"):
            async with client.listen(tools_list_changed=True, resource_subscriptions=[WATCHED]) as events:
                await setting.call(client, trigger)
                with anyio.fail_after(10):
                    await events.__anext__()


@check("P1-Proto-1")
async def asking(setting):
    """answers elicitation, sampling and roots"""
    asked = Asked()
    callbacks = {
        "elicitation_callback": asked.elicit,
        "sampling_callback": asked.sample,
        "list_roots_callback": asked.roots,
    }
    async with setting.open(**callbacks) as client:
        assert "my username" in text_of(await setting.call(client, "test_elicitation", {"message": "Who?"}))
        assert "echo hello" in text_of(await setting.call(client, "test_sampling", {"prompt": "hello"}))
        roots = await setting.call(client, "test_input_required_result_list_roots")
        assert "file:///home/tester/project" in text_of(roots)
        rounds = await setting.call(client, "test_input_required_result_multi_round")
        assert text_of(rounds) == "my name likes my color"
    assert asked.kinds == {"elicitation", "sampling", "roots"}, asked.kinds


@check("M-AC-5.1.3")
async def unknown(setting):
    """gets an error for what does not exist"""
    async with setting.open() as client:
        try:
            await client.read_resource("test://nowhere")
        except MCPError as error:
            assert error.error.code in (-32602, -32002), error
            return
    raise AssertionError("an unknown resource was read")


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mode", required=True)
    parser.add_argument("--prefix", default="")
    parser.add_argument("--url")
    parser.add_argument("--sse")
    parser.add_argument("command", nargs="*")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, req, modes, function in CHECKS:
        if arguments.mode not in modes:
            continue
        error = None
        try:
            with anyio.fail_after(60):
                await function(Setting(arguments))
        except BaseException:  # A check that is cancelled has failed like any other.
            error = traceback.format_exc()[-3000:]
        print(json.dumps({"name": name, "req": req, "error": error}), flush=True)


if __name__ == "__main__":
    anyio.run(main)
