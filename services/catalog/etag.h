#pragma once

#include <type_traits>

#include "common/base/ids.h"
#include "services/catalog/convert.h"
#include "services/catalog/item.h"

namespace metamcp::catalog {

// Gives an object the etag of its content (observed status left out).
template <typename Message>
void SetEtag(Message* message) {
  message->mutable_meta()->clear_etag();
  Message content = *message;
  if constexpr (std::is_same_v<Message, pb::Upstream>) content.clear_status();
  message->mutable_meta()->set_etag(Sha256Hex(DeterministicBytes(content)).substr(0, 16));
}

}  // namespace metamcp::catalog
