"""Calls published workflows with the official Python SDK; prints "ok" when all was as it should be.

  workflow_check.py --mode legacy|auto --url URL
"""

import argparse

import anyio
from mcp import Client, types


async def main(arguments):
    asked = []

    async def elicit(_context, params):
        asked.append(params.message)
        return types.ElicitResult(action="accept", content={"decision": "approve"})

    client = Client(
        arguments.url, mode=arguments.mode, elicitation_callback=elicit, read_timeout_seconds=60
    )
    async with client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert "workflow__sum" in names, names
        result = await client.call_tool("workflow__sum", {"a": 20, "b": 22})
        assert result.structured_content == {"sum": 42}, result
        result = await client.call_tool("workflow__asks", {})
        assert not result.is_error, result
        assert result.structured_content == {"sum": 3}, result
    assert len(asked) == 1 and "Add the numbers?" in asked[0], asked
    print("ok")


parser = argparse.ArgumentParser()
parser.add_argument("--mode", choices=["legacy", "auto"], required=True)
parser.add_argument("--url", required=True)
anyio.run(main, parser.parse_args())
