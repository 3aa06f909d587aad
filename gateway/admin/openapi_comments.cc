#include "gateway/admin/openapi_comments.h"

#include <google/protobuf/descriptor.pb.h>

#include <cstddef>

#include "common/base/check.h"

extern const unsigned char metamcp_api_descriptors[];
extern const size_t metamcp_api_descriptors_size;

namespace metamcp::gateway::admin {
namespace {

template <typename T>
std::string Comment(const T* declared) {
  google::protobuf::SourceLocation location;
  if (declared == nullptr || !declared->GetSourceLocation(&location)) return "";
  std::string out;
  for (const char c : location.leading_comments) {
    const char folded = c == '\n' ? ' ' : c;
    if (folded == ' ' && (out.empty() || out.back() == ' ')) continue;
    out.push_back(folded);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

}  // namespace

ProtoComments::ProtoComments() {
  google::protobuf::FileDescriptorSet set;
  METAMCP_CHECK(
      set.ParseFromArray(metamcp_api_descriptors, static_cast<int>(metamcp_api_descriptors_size)));
  for (const auto& file : set.file()) {  // imports come before their importers
    METAMCP_CHECK(pool_.BuildFile(file) != nullptr);
  }
}

std::string ProtoComments::Of(const google::protobuf::MethodDescriptor* method) const {
  return Comment(pool_.FindMethodByName(method->full_name()));
}

std::string ProtoComments::Of(const google::protobuf::Descriptor* message) const {
  return Comment(pool_.FindMessageTypeByName(message->full_name()));
}

std::string ProtoComments::Of(const google::protobuf::FieldDescriptor* field) const {
  return Comment(pool_.FindFieldByName(field->full_name()));
}

}  // namespace metamcp::gateway::admin
