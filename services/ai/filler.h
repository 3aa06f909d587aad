#pragma once

#include "metamcp/ai/v1/ai_service.pb.h"
#include "services/ai/model/pool.h"

namespace metamcp::ai {

// Has a model fill a typed slot. The answer follows the schema after at most one repair, whatever
// the provider's API promises. Thread: the io thread.
class Filler {
 public:
  explicit Filler(ModelPool& pool) : pool_(pool) {}
  Awaitable<absl::StatusOr<v1::FillResponse>> Fill(const CallContext& ctx, v1::FillRequest request);

 private:
  ModelPool& pool_;
};

// Whether every vendor's constrained decoding takes the schema: closed objects whose members are
// all required, no combinations.
bool IsPortableSchema(std::string_view schema);

}  // namespace metamcp::ai
