#include "tests/fault/workflow_shapes.h"

#include <gtest/gtest.h>

#include <sstream>
#include <thread>

namespace metamcp::testing {
namespace {

struct Shape {
  const char* name;
  const char* source;
  const char* state;              // how its runs end
  std::vector<const char*> once;  // effects that may not be repeated
  std::vector<const char*> some;  // effects that may
};

const Shape kShapes[] = {
    {"mixed",
     R"(
name: mixed
steps:
  - {id: one, tool: ledger.add, arguments: {key: "${input.key}-one", ms: 20}}
  - {id: two, tool: ledger.put, arguments: {key: "${input.key}-two", ms: 20}}
  - {id: wait, wait: {milliseconds: 50}, dependsOn: [one, two]}
  - {id: three, tool: ledger.add, arguments: {key: "${input.key}-three", ms: 20}, dependsOn: wait}
  - {id: four, tool: ledger.put, arguments: {key: "${input.key}-four", ms: 5}, dependsOn: three}
)",
     "completed",
     {"one", "three"},
     {"two", "four"}},
    {"looped",
     R"(
document: {dsl: '1.0.3', namespace: default, name: looped, version: '1.0.0'}
do:
  - each:
      for: {each: n, in: '${ ["l0", "l1", "l2"] }'}
      do:
        - note: {call: ledger.add@mcp, with: {key: '${ $workflow.input.key + "-" + $n }', ms: 10}}
)",
     "completed",
     {"l0", "l1", "l2"},
     {}},
    {"undone",
     R"(
document: {dsl: '1.0.3', namespace: default, name: undone, version: '1.0.0'}
do:
  - a:
      call: ledger.add@mcp
      with: {key: '${ $workflow.input.key + "-a" }', ms: 10}
      metadata:
        compensate:
          - undo: {call: ledger.put@mcp, with: {key: '${ $workflow.input.key + "-undo" }', ms: 10}}
  - bad:
      raise: {error: {type: 'https://example.com/errors/bad', status: 500, title: Bad}}
      metadata: {onError: rollback}
)",
     "rolled-back",
     {"a"},
     {"undo"}},
    {"asked",
     R"(
name: asked
steps:
  - {id: ok, approval: {title: Sure}}
  - {id: after, tool: ledger.add, arguments: {key: "${input.key}-after", ms: 10}, dependsOn: ok}
)",
     "completed",
     {"after"},
     {}},
    {"guarded",
     R"(
name: guarded
steps:
  - {id: g, tool: ledger.add, arguments: {key: "${input.key}-guarded", ms: 20}}
  - {id: p, tool: ledger.put, arguments: {key: "${input.key}-then", ms: 5}, dependsOn: g}
)",
     "completed",
     {"guarded"},
     {"then"}},
    {"parent",
     R"(
document: {dsl: '1.0.3', namespace: default, name: parent, version: '1.0.0'}
do:
  - child:
      run:
        workflow: {namespace: default, name: looped, version: '1.0.0', input: {key: '${ .key }'}}
  - last: {call: ledger.add@mcp, with: {key: '${ $workflow.input.key + "-last" }', ms: 5}}
)",
     "completed",
     {"l0", "l1", "l2", "last"},
     {}},
    {"told",
     R"(
document: {dsl: '1.0.3', namespace: default, name: told, version: '1.0.0'}
do:
  - both:
      fork:
        branches:
          - hears:
              do:
                - l:
                    listen:
                      to: {one: {with: {type: fault.go, subject: '${ $workflow.input.key }'}}}
                - got: {call: ledger.add@mcp, with: {key: '${ $workflow.input.key + "-got" }', ms: 5}}
          - tells:
              do:
                - w: {wait: {milliseconds: 80}}
                - e:
                    emit:
                      event:
                        with: {type: fault.go, source: test, subject: '${ $workflow.input.key }'}
)",
     "completed",
     {"got"},
     {}},
    {"tried",
     R"(
document: {dsl: '1.0.3', namespace: default, name: tried, version: '1.0.0'}
do:
  - t:
      try:
        - p: {call: ledger.put@mcp, with: {key: '${ $workflow.input.key + "-p" }', ms: 10}}
        - bad: {raise: {error: {type: 'https://example.com/errors/bad', status: 500, title: Bad}}}
      catch:
        retry:
          delay: {milliseconds: 30}
          limit: {attempt: {count: 2}}
        do:
          - c: {call: ledger.add@mcp, with: {key: '${ $workflow.input.key + "-c" }', ms: 5}}
)",
     "completed",
     {"c"},
     {"p"}},
};

const Shape& ShapeOf(const std::string& name) {
  for (const Shape& shape : kShapes) {
    if (shape.name == name) return shape;
  }
  return kShapes[0];
}

Json Parsed(const HttpAnswer& answer) { return Json::parse(answer.body, nullptr, false); }

}  // namespace

Json WorkflowShapes::Policy() {
  return {{"rules", Json::array({"consent guarded if args.key ~ *-guarded"})}};
}

bool WorkflowShapes::Store() {
  for (const Shape& shape : kShapes) {
    const Json body = {{"source", shape.source}};
    const HttpAnswer answer = rest_("POST", "/workflows", body.dump());
    if (answer.status == 200) continue;
    ADD_FAILURE() << shape.name << ": " << answer.body;
    return false;
  }
  return true;
}

void WorkflowShapes::Start(int i) {
  const Shape& shape = kShapes[static_cast<size_t>(i) % std::size(kShapes)];
  Run run;
  run.key = "k" + std::to_string(i);
  run.shape = shape.name;
  const Json body = {{"input", {{"key", run.key}}}, {"requestId", run.key}};
  EXPECT_TRUE(Eventually(std::chrono::seconds(60), [&] {
    const HttpAnswer answer = rest_("POST", "/workflows/" + run.shape + "/runs", body.dump());
    if (answer.status != 200) return false;
    runs_[Parsed(answer)["run"]["id"]] = run;
    return true;
  })) << run.shape;
}

void WorkflowShapes::Answer(const std::string& id, const Run& run, const Json& pending) {
  const std::string path = pending["path"];
  Json answer = {{"path", path}, {"action", "approve"}};
  if (pending["kind"] == "decision") {
    // The key of the step's call is in what the person is shown.
    const std::string key = pending["detail"]["arguments"].value("key", "");
    const bool there = ReadFile(ledger_).find("add " + key + "\n") != std::string::npos;
    answer["action"] = there ? "done" : "retry";
    if (there) answer["result"] = {{"content", Json::array()}};
  }
  if (rest_("POST", "/runs/" + id + "/decide", answer.dump()).status != 200) return;
  ++(answer["action"] == "approve" ? approved_ : decided_);
  if (pending["kind"] == "consent") ++allowed_;
  // A second answer finds nothing to answer, or a run that has ended.
  EXPECT_NE(rest_("POST", "/runs/" + id + "/decide", answer.dump()).status, 200)
      << run.shape << " " << path;
}

bool WorkflowShapes::Settle() {
  bool all = true;
  const auto look = [&](const std::string& id, Run& run) {
    const Json reply = Parsed(rest_("GET", "/runs/" + id, ""));
    if (!reply.is_object() || !reply.contains("run")) return;
    const std::string state = reply["run"].value("state", "");
    if (state == "completed" || state == "failed" || state == "cancelled" ||
        state == "rolled-back") {
      run.state = state;
      run.error = reply["run"].value("error", Json()).dump();
      return;
    }
    for (const Json& pending : reply["run"].value("pending", Json::array())) {
      Answer(id, run, pending);
    }
  };
  for (auto& [id, run] : runs_) {
    if (run.state.empty()) look(id, run);
    all = all && !run.state.empty();
  }
  if (all) return true;
  // Runs that runs have started need a person, too.
  const Json reply = Parsed(rest_("GET", "/runs?state=needs-decision&pageSize=100", ""));
  for (const Json& run : reply.is_object() ? reply.value("runs", Json::array()) : Json::array()) {
    const std::string id = run.value("id", "");
    if (runs_.count(id) > 0) continue;
    Run child;
    look(id, child);
  }
  return false;
}

std::string WorkflowShapes::Unfinished() {
  std::string out;
  for (const auto& [id, run] : runs_) {
    if (run.state.empty() && out.size() < 4000) {
      out += run.shape + " " + rest_("GET", "/runs/" + id, "").body + "\n";
    }
  }
  return out;
}

void WorkflowShapes::Check() {
  std::map<std::string, int> lines;
  std::istringstream in(ReadFile(ledger_));
  for (std::string line; std::getline(in, line);) ++lines[line];
  for (const auto& [id, run] : runs_) {
    const Shape& shape = ShapeOf(run.shape);
    EXPECT_EQ(run.state, shape.state) << run.shape << " " << run.key << " " << run.error;
    for (const char* effect : shape.once) {
      EXPECT_EQ(lines["add " + run.key + "-" + effect], 1) << run.shape << " " << run.key << effect;
    }
    for (const char* effect : shape.some) {
      EXPECT_GE(lines["put " + run.key + "-" + effect], 1) << run.shape << " " << run.key << effect;
    }
  }
}

}  // namespace metamcp::testing
