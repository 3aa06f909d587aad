#!/usr/bin/env python3
"""A gRPC client that shares no code with the suite: reads and writes the catalog over the wire.

  grpc_peer.py ADDRESS PB_FOLDER NAME COMMAND [ARG...]

PB_FOLDER holds the messages that protoc --python_out made from proto/. Lists the upstreams, reads
the first message of a watch stream, reads the ErrorInfo of a failed call, and adds the upstream
NAME, which runs COMMAND. Prints what it saw as JSON.
"""

import json
import sys

import grpc

address, folder, name = sys.argv[1:4]
sys.path.insert(0, folder)
from metamcp.catalog.v1 import catalog_service_pb2 as pb  # noqa: E402
from metamcp.common.v1 import common_pb2 as common  # noqa: E402

channel = grpc.insecure_channel(address)
SERVICE = "/metamcp.catalog.v1.CatalogService/"


def unary(method):
    return channel.unary_unary(
        SERVICE + method,
        request_serializer=getattr(pb, method + "Request").SerializeToString,
        response_deserializer=getattr(pb, method + "Response").FromString,
    )


def stream(method):
    return channel.unary_stream(
        SERVICE + method,
        request_serializer=getattr(pb, method + "Request").SerializeToString,
        response_deserializer=getattr(pb, method + "Response").FromString,
    )


seen = {}
listed = unary("ListUpstreams")(pb.ListUpstreamsRequest(page_size=100), timeout=10)
seen["upstreams"] = sorted(each.meta.name for each in listed.upstreams)
seen["commands"] = sorted(each.spec.command.rsplit("/", 1)[-1] for each in listed.upstreams)

watch = stream("WatchUpstreams")(pb.WatchUpstreamsRequest(), timeout=10)
seen["watched"] = next(watch).ByteSize() > 0
watch.cancel()

try:
    unary("GetUpstream")(pb.GetUpstreamRequest(name="no-such-upstream"), timeout=10)
except grpc.RpcError as error:
    info = common.ErrorInfo()
    for key, value in error.trailing_metadata():
        if key == "metamcp-error-bin":
            info.ParseFromString(value)
    seen["error"] = {"code": error.code().name, "reason": info.reason, "domain": info.domain}

made = pb.CreateUpstreamRequest(request_id="peer-1")
made.upstream.meta.name = name
made.upstream.enabled = True
made.upstream.spec.type = "stdio"
made.upstream.spec.command = sys.argv[4]
made.upstream.spec.args.extend(sys.argv[5:])
seen["created"] = unary("CreateUpstream")(made, timeout=10).upstream.meta.name
seen["created_again"] = unary("CreateUpstream")(made, timeout=10).upstream.meta.name
print(json.dumps(seen))
