#include "common/auth/jwt/key_source.h"

#include <gtest/gtest.h>

#include <fstream>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

#include "common/async/run.h"
#include "common/auth/jwt/test_keys.h"
#include "common/base/strings.h"
#include "common/http/http_server.h"

namespace metamcp::jwt {
namespace {

namespace asio = boost::asio;

// An issuer on this machine, and one source of its keys.
class KeySourceTest : public ::testing::Test {
 protected:
  KeySourceTest()
      : server_(http::HttpServer::Create(
            io_.get_executor(),
            [this](http::HttpRequest& request, http::HttpResponder& responder) {
              return Answer(request, responder);
            },
            http::HttpServerOptions())),
        client_(http::NewHttpClient(io_.get_executor(), ClientOptions())) {
    base_ = server_->ListenTcp("127.0.0.1", 0)->ToString();
    options_.name = "idp";
    options_.issuer = base_;
    options_.ask_min = std::chrono::milliseconds(0);
    options_.retry_min = std::chrono::milliseconds(1);
  }

  // Idle connections would keep the event loop.
  static http::HttpClientOptions ClientOptions() {
    http::HttpClientOptions options;
    options.idle_timeout = std::chrono::milliseconds(1);
    return options;
  }

  Awaitable<void> Answer(http::HttpRequest& request, http::HttpResponder& responder) {
    ++requests_;
    const bool metadata = request.path == "/.well-known/oauth-authorization-server";
    http::HttpResponse response(status_, "application/json", set_);
    if (metadata)
      response.body = StrCat("{\"issuer\":\"", named_.empty() ? base_ : named_,
                             "\",\"jwks_uri\":\"", uri_.empty() ? base_ + "/jwks" : uri_, "\"}");
    if (!metadata && request.path != "/jwks") response.status = 404;
    (void)co_await responder.Send(std::move(response));
  }

  // Runs `test` beside the source's task, and ends both.
  void Run(std::function<Awaitable<void>()> test) {
    source_ = std::make_shared<KeySource>(
        io_.get_executor(), *client_, options_,
        [this](std::shared_ptr<const KeySet> keys) { sets_.push_back(std::move(keys)); });
    asio::co_spawn(io_, KeySource::Run(source_), asio::detached);
    std::exception_ptr failed;
    asio::co_spawn(io_, Whole(std::move(test)), [&failed](std::exception_ptr e) { failed = e; });
    io_.run();
    if (failed) std::rethrow_exception(failed);
  }
  Awaitable<void> Whole(std::function<Awaitable<void>()> test) {
    auto running = test();
    co_await std::move(running);
    source_->Stop();
    co_await server_->Stop(std::chrono::seconds(1));
  }

  asio::io_context io_{1};
  std::unique_ptr<http::HttpServer> server_;
  std::unique_ptr<http::HttpClient> client_;
  KeySourceOptions options_;
  std::shared_ptr<KeySource> source_;
  std::vector<std::shared_ptr<const KeySet>> sets_;
  std::string base_, set_, named_, uri_;
  int status_ = 200;
  int requests_ = 0;
};

TEST_F(KeySourceTest, FindsKeysByTheIssuersMetadataAndFollowsRotation) {
  RecordProperty("req", "P3-Sec-3");
  set_ = KeySetOf({MakeTestKey("P-256", "a")});
  Run([this]() -> Awaitable<void> {
    bool newer = co_await KeySource::Ask(source_);
    EXPECT_TRUE(newer);
    newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer) << "the same set is nothing new";
    set_ = KeySetOf({MakeTestKey("P-256", "a"), MakeTestKey("P-256", "b")});
    newer = co_await KeySource::Ask(source_);
    EXPECT_TRUE(newer);
    status_ = 500;
    newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer);
  });
  ASSERT_EQ(sets_.size(), 2u) << "a failure takes nothing away";
  EXPECT_EQ(sets_[1]->size(), 2u);
}

TEST_F(KeySourceTest, ManyWhoAskMakeOneRequestAndNotSoonAgain) {
  options_.jwks_url = base_ + "/jwks";
  options_.ask_min = std::chrono::hours(1);
  set_ = KeySetOf({MakeTestKey("P-256", "a")});
  int told = 0;
  Run([this, &told]() -> Awaitable<void> {
    for (int i = 0; i < 20; ++i) {
      asio::co_spawn(io_, KeySource::Ask(source_),
                     [&told](std::exception_ptr, bool newer) { told += newer ? 1 : 0; });
    }
    const bool newer = co_await KeySource::Ask(source_);
    EXPECT_TRUE(newer);
    for (int i = 0; i < 20; ++i) {
      const bool again = co_await KeySource::Ask(source_);
      EXPECT_FALSE(again);
    }
  });
  EXPECT_EQ(told, 20);
  EXPECT_EQ(requests_, 1);
}

TEST_F(KeySourceTest, MetadataOfAnotherIssuerIsNotTaken) {
  set_ = KeySetOf({MakeTestKey("P-256", "a")});
  named_ = "https://other.example";
  Run([this]() -> Awaitable<void> {
    const bool newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer);
  });
  EXPECT_TRUE(sets_.empty());
}

TEST_F(KeySourceTest, KeysAreNotFetchedFromWhereTheIssuerMayNotLead) {
  set_ = KeySetOf({MakeTestKey("P-256", "a")});
  uri_ = "http://10.255.255.1/jwks";
  Run([this]() -> Awaitable<void> {
    bool newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer);
    uri_ = "file:///etc/passwd";
    newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer);
  });
  EXPECT_TRUE(sets_.empty());
}

TEST_F(KeySourceTest, AFileIsReadAgainWhenATokenNamesAnotherKey) {
  const std::string path = StrCat(::testing::TempDir(), "/jwks.json");
  const auto write = [&path](const std::string& text) { std::ofstream(path) << text; };
  write(KeySetOf({MakeTestKey("Ed25519", "a")}));
  options_.jwks_file = path;
  Run([this, &write]() -> Awaitable<void> {
    bool newer = co_await KeySource::Ask(source_);
    write("{\"keys\":[]}");
    newer = co_await KeySource::Ask(source_);
    EXPECT_FALSE(newer);
    write(KeySetOf({MakeTestKey("Ed25519", "b")}));
    for (int i = 0; i < 400 && sets_.size() < 2; ++i) {
      (void)co_await KeySource::Ask(source_);
      const bool slept = co_await Sleep(std::chrono::milliseconds(5));
      EXPECT_TRUE(slept);
    }
  });
  ASSERT_EQ(sets_.size(), 2u);
  EXPECT_EQ(sets_.back()->front().kid(), "b");
  std::remove(path.c_str());
}

}  // namespace
}  // namespace metamcp::jwt
