// protoc plugin: from each service makes an abstract coroutine interface over the same messages and
// its two bindings, direct (one process) and gRPC client. The gRPC server side needs no generated
// code beyond the Invoke functions: common/rpc dispatches by the service's descriptor. Only unary
// and server-streaming methods exist in this project; others are refused here.

#include <google/protobuf/compiler/code_generator.h>
#include <google/protobuf/compiler/plugin.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/printer.h>
#include <google/protobuf/io/zero_copy_stream.h>

#include <map>
#include <memory>
#include <string>

namespace {

using google::protobuf::Descriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::MethodDescriptor;
using google::protobuf::ServiceDescriptor;
using google::protobuf::io::Printer;
using Variables = std::map<std::string, std::string>;

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::string CppName(const Descriptor* message) {
  return "::" + Replace(message->full_name(), ".", "::");
}

Variables MethodVariables(const MethodDescriptor* method) {
  Variables v;
  v["service"] = method->service()->name();
  v["method"] = method->name();
  v["request"] = CppName(method->input_type());
  v["response"] = CppName(method->output_type());
  v["index"] = std::to_string(method->index());
  v["path"] = "/" + method->service()->full_name() + "/" + method->name();
  return v;
}

void Comment(Printer& p, const MethodDescriptor* method) {
  google::protobuf::SourceLocation location;
  if (!method->GetSourceLocation(&location)) return;
  std::string text = location.leading_comments;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.empty()) return;
  p.PrintRaw("  //" + Replace(text, "\n", "\n  //") + "\n");
}

class Generator : public google::protobuf::compiler::CodeGenerator {
 public:
  uint64_t GetSupportedFeatures() const override { return FEATURE_PROTO3_OPTIONAL; }

  bool Generate(const FileDescriptor* file, const std::string&,
                google::protobuf::compiler::GeneratorContext* context,
                std::string* error) const override {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const MethodDescriptor* method = file->service(s)->method(m);
        if (method->client_streaming()) {
          *error = method->full_name() + ": client streaming is not part of this project";
          return false;
        }
      }
    }
    const std::string base = file->name().substr(0, file->name().size() - 6);
    {
      std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> out(
          context->Open(base + ".metamcp.h"));
      Printer p(out.get(), '$');
      Header(p, file, base);
    }
    std::unique_ptr<google::protobuf::io::ZeroCopyOutputStream> out(
        context->Open(base + ".metamcp.cc"));
    Printer p(out.get(), '$');
    Source(p, file, base);
    return true;
  }

 private:
  static void Open(Printer& p, const FileDescriptor* file) {
    p.Print("namespace $ns$ {\n\n", "ns", Replace(file->package(), ".", "::"));
  }
  static void Close(Printer& p, const FileDescriptor* file) {
    p.Print("}  // namespace $ns$\n", "ns", Replace(file->package(), ".", "::"));
  }

  static void Header(Printer& p, const FileDescriptor* file, const std::string& base) {
    p.Print(
        "// Made by protoc-gen-metamcp from $file$. Do not edit.\n"
        "#pragma once\n\n"
        "#include <memory>\n\n"
        "#include \"common/rpc/service.h\"\n"
        "#include \"$base$.pb.h\"\n\n",
        "file", file->name(), "base", base);
    Open(p, file);
    for (int s = 0; s < file->service_count(); ++s) {
      const ServiceDescriptor* service = file->service(s);
      p.Print("class $s$ : public ::metamcp::rpc::Service {\n public:\n", "s", service->name());
      for (int m = 0; m < service->method_count(); ++m) {
        Comment(p, service->method(m));
        Declare(p, service->method(m), "virtual ", " = 0");
      }
      p.Print(
          "\n"
          "  static const ::metamcp::rpc::ServiceInfo& Info();\n"
          "  const ::metamcp::rpc::ServiceInfo& info() const final { return Info(); }\n"
          "  ::metamcp::Awaitable<::absl::StatusOr<::metamcp::rpc::MessagePtr>> InvokeUnary(\n"
          "      int method, const ::metamcp::CallContext& ctx,\n"
          "      ::metamcp::rpc::MessagePtr request) final;\n"
          "  ::metamcp::Awaitable<::absl::Status> InvokeStream(\n"
          "      int method, const ::metamcp::CallContext& ctx, ::metamcp::rpc::MessagePtr "
          "request,\n"
          "      ::metamcp::Sink<::metamcp::rpc::MessagePtr>& sink) final;\n"
          "};\n\n"
          "// The binding inside one process: calls `implementation`, which must outlive it, on "
          "the\n"
          "// caller's thread; enforces the deadline and turns exceptions into Status.\n"
          "std::unique_ptr<$s$> Make$s$Direct($s$& implementation);\n\n"
          "// The binding over gRPC.\n"
          "std::unique_ptr<$s$> Make$s$Client(std::shared_ptr<::metamcp::rpc::Channel> "
          "channel);\n\n",
          "s", service->name());
    }
    Close(p, file);
  }

  static void Declare(Printer& p, const MethodDescriptor* method, const std::string& before,
                      const std::string& tail) {
    p.PrintRaw("  " + before);
    Variables v = MethodVariables(method);
    v["tail"] = tail;
    if (method->server_streaming()) {
      p.Print(v,
              "::metamcp::Awaitable<::absl::Status> $method$(\n"
              "      const ::metamcp::CallContext& ctx, $request$ request,\n"
              "      ::metamcp::Sink<$response$>& sink)$tail$;\n");
    } else {
      p.Print(v,
              "::metamcp::Awaitable<::absl::StatusOr<$response$>> $method$(\n"
              "      const ::metamcp::CallContext& ctx, $request$ request)$tail$;\n");
    }
  }

  static void Source(Printer& p, const FileDescriptor* file, const std::string& base) {
    p.Print(
        "// Made by protoc-gen-metamcp from $file$. Do not edit.\n"
        "#include \"$base$.metamcp.h\"\n\n"
        "#include \"common/async/run.h\"\n"
        "#include \"common/rpc/channel.h\"\n"
        "#include \"common/rpc/typed.h\"\n\n",
        "file", file->name(), "base", base);
    Open(p, file);
    for (int s = 0; s < file->service_count(); ++s) {
      Info(p, file->service(s));
      Invoke(p, file->service(s), false);
      Invoke(p, file->service(s), true);
      Binding(p, file->service(s), false);
      Binding(p, file->service(s), true);
    }
    Close(p, file);
  }

  static void Info(Printer& p, const ServiceDescriptor* service) {
    p.Print(
        "const ::metamcp::rpc::ServiceInfo& $s$::Info() {\n"
        "  static const ::metamcp::rpc::ServiceInfo kInfo(\"$full$\", {\n",
        "s", service->name(), "full", service->full_name());
    for (int m = 0; m < service->method_count(); ++m) {
      Variables v = MethodVariables(service->method(m));
      v["streaming"] = service->method(m)->server_streaming() ? "true" : "false";
      p.Print(v,
              "      {\"$method$\", \"$path$\", $streaming$,\n"
              "       &$request$::default_instance(), &$response$::default_instance()},\n");
    }
    p.Print("  });\n  return kInfo;\n}\n\n");
  }

  static void Invoke(Printer& p, const ServiceDescriptor* service, bool streaming) {
    if (streaming) {
      p.Print(
          "::metamcp::Awaitable<::absl::Status> $s$::InvokeStream(\n"
          "    int method, [[maybe_unused]] const ::metamcp::CallContext& ctx,\n"
          "    [[maybe_unused]] ::metamcp::rpc::MessagePtr request,\n"
          "    [[maybe_unused]] ::metamcp::Sink<::metamcp::rpc::MessagePtr>& sink) {\n"
          "  switch (method) {\n",
          "s", service->name());
    } else {
      p.Print(
          "::metamcp::Awaitable<::absl::StatusOr<::metamcp::rpc::MessagePtr>> $s$::InvokeUnary(\n"
          "    int method, [[maybe_unused]] const ::metamcp::CallContext& ctx,\n"
          "    [[maybe_unused]] ::metamcp::rpc::MessagePtr request) {\n"
          "  switch (method) {\n",
          "s", service->name());
    }
    for (int m = 0; m < service->method_count(); ++m) {
      const MethodDescriptor* method = service->method(m);
      if (method->server_streaming() != streaming) continue;
      const Variables v = MethodVariables(method);
      if (streaming) {
        p.Print(v,
                "    case $index$: {\n"
                "      ::metamcp::rpc::UntypedSink<$response$> typed(sink);\n"
                "      auto own = ::metamcp::rpc::Take<$request$>(std::move(request));\n"
                "      co_return co_await $method$(ctx, std::move(own), typed);\n"
                "    }\n");
      } else {
        p.Print(v,
                "    case $index$: {\n"
                "      auto own = ::metamcp::rpc::Take<$request$>(std::move(request));\n"
                "      auto result = co_await $method$(ctx, std::move(own));\n"
                "      co_return ::metamcp::rpc::Untyped(std::move(result));\n"
                "    }\n");
      }
    }
    p.Print(
        "    default:\n"
        "      co_return ::absl::UnimplementedError(\"no such method\");\n"
        "  }\n"
        "}\n\n");
  }

  static void Binding(Printer& p, const ServiceDescriptor* service, bool client) {
    const std::string kind = client ? "Client" : "Direct";
    const std::string field =
        client ? "std::shared_ptr<::metamcp::rpc::Channel>" : service->name() + "&";
    p.Print(
        "namespace {\n"
        "class $s$$k$ final : public $s$ {\n"
        " public:\n"
        "  explicit $s$$k$($f$ to) : to_($take$) {}\n",
        "s", service->name(), "k", kind, "f", field, "take", client ? "std::move(to)" : "to");
    for (int m = 0; m < service->method_count(); ++m) {
      BindMethod(p, service->method(m), client);
    }
    p.Print(
        "\n private:\n"
        "  $f$ to_;\n"
        "};\n"
        "}  // namespace\n\n",
        "f", field);
    p.Print(
        "std::unique_ptr<$s$> Make$s$$k$($arg$ to) {\n"
        "  return std::make_unique<$s$$k$>($take$);\n"
        "}\n\n",
        "s", service->name(), "k", kind, "arg", field, "take", client ? "std::move(to)" : "to");
  }

  static void BindMethod(Printer& p, const MethodDescriptor* method, bool client) {
    const Variables v = MethodVariables(method);
    if (method->server_streaming()) {
      p.Print(v,
              "  ::metamcp::Awaitable<::absl::Status> $method$(\n"
              "      const ::metamcp::CallContext& ctx, $request$ request,\n"
              "      ::metamcp::Sink<$response$>& sink) final {\n");
      if (client) {
        p.Print(v,
                "    ::metamcp::rpc::TypedSink<$response$> untyped(sink);\n"
                "    co_return co_await to_->Stream(ctx, Info().methods()[$index$], request,\n"
                "                                   untyped);\n");
      } else {
        p.Print(v,
                "    auto op = to_.$method$(ctx, std::move(request), sink);\n"
                "    co_return co_await ::metamcp::RunUntil(ctx.deadline, std::move(op));\n");
      }
    } else {
      p.Print(v,
              "  ::metamcp::Awaitable<::absl::StatusOr<$response$>> $method$(\n"
              "      const ::metamcp::CallContext& ctx, $request$ request) final {\n");
      if (client) {
        p.Print(v,
                "    $response$ response;\n"
                "    ::absl::Status status = co_await to_->Unary(\n"
                "        ctx, Info().methods()[$index$], request, response);\n"
                "    if (!status.ok()) co_return status;\n"
                "    co_return response;\n");
      } else {
        p.Print(v,
                "    auto op = to_.$method$(ctx, std::move(request));\n"
                "    co_return co_await ::metamcp::RunUntil(ctx.deadline, std::move(op));\n");
      }
    }
    p.Print("  }\n");
  }
};

}  // namespace

int main(int argc, char** argv) {
  const Generator generator;
  return google::protobuf::compiler::PluginMain(argc, argv, &generator);
}
