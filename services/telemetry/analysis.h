#pragma once

#include <string_view>
#include <vector>

#include "metamcp/telemetry/v1/telemetry_service.pb.h"

// What kept spans show. Pure. Spans of other processes carry their clocks; only durations and the
// tree are used.
namespace metamcp::telemetry {

// Where the time of the calls goes whose server span is of `item` ("tools/call NAME"), or of all
// calls where it is empty. The time of a span that its children do not cover is its stage's.
void AnalyzePerformance(std::string_view item, const std::vector<v1::Span>& spans,
                        v1::AnalyzePerformanceResponse* out);

// Who called whom: clients, the services of this installation, servers.
void MakeServiceMap(const std::vector<v1::Span>& spans, v1::GetServiceMapResponse* out);

// Whether `text` is `pattern`, whose final '*' stands for any end. An empty pattern fits all.
bool FitsPattern(std::string_view pattern, std::string_view text);

}  // namespace metamcp::telemetry
