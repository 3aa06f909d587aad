#pragma once

#include <google/protobuf/descriptor.h>

#include <string>

namespace metamcp::gateway::admin {

// The comments of our protos, read from the descriptor set in this program. The descriptors of
// generated code have none.
class ProtoComments {
 public:
  ProtoComments();
  // The comment above the declaration with its line breaks folded; empty where there is none.
  std::string Of(const google::protobuf::MethodDescriptor* method) const;
  std::string Of(const google::protobuf::Descriptor* message) const;
  std::string Of(const google::protobuf::FieldDescriptor* field) const;

 private:
  google::protobuf::DescriptorPool pool_;
};

}  // namespace metamcp::gateway::admin
