#include "services/audit/upkeep.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>
#include <fstream>

#include "common/async/run.h"
#include "common/db/executor.h"
#include "common/http/http_client.h"
#include "common/http/http_test_support.h"
#include "services/audit/testing.h"

namespace metamcp::audit {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class UpkeepTest : public StoreFixture {
 protected:
  void SetUp() override {
    StoreFixture::SetUp();
    if (db_ == nullptr) return;
    folder_ = std::filesystem::temp_directory_path() / StrCat("upkeep-", NewUuidV7());
    std::filesystem::create_directory(folder_);
    options_.checkpoint_file = folder_ + "/checkpoints.jsonl";
    executor_ = std::make_unique<db::DbExecutor>(*db_);
    http_ = http::NewHttpClient(io_.get_executor(), http::HttpClientOptions());
  }
  void TearDown() override {
    executor_.reset();
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  absl::Status Run(Awaitable<absl::Status> op) {
    std::optional<absl::Status> out;
    boost::asio::co_spawn(io_, std::move(op), [&out](std::exception_ptr e, absl::Status status) {
      out = e ? StatusFromException(e) : status;
    });
    while (!out) {
      io_.restart();
      io_.run_one();
    }
    return *out;
  }
  std::unique_ptr<Upkeep> Make() {
    return std::make_unique<Upkeep>(io_.get_executor(), *executor_, store_, key_, *http_, options_);
  }
  std::vector<CheckpointRow> Rows() { return *store_.NewestCheckpoints(*db_, "t", INT64_MAX, 10); }

  boost::asio::io_context io_{1};
  std::string folder_;
  UpkeepOptions options_;
  std::unique_ptr<db::DbExecutor> executor_;
  std::unique_ptr<http::HttpClient> http_;
};
INSTANTIATE_TEST_SUITE_P(Backends, UpkeepTest, db::AllBackends(), db::BackendName);

TEST_P(UpkeepTest, CheckpointsAreKeptInAFileOnce) {
  RecordProperty("req", "M-FR-007.5");
  const auto upkeep = Make();
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_THAT(Upkeep::ReadFileBlocking(options_.checkpoint_file), SizeIs(0));
  AppendCalls(3);
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  AppendCalls(2);
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  const auto kept = Upkeep::ReadFileBlocking(options_.checkpoint_file);
  ASSERT_THAT(kept, SizeIs(2));
  EXPECT_EQ(OpenCheckpoint(kept[1].first, key_.verify_key())->size, 5);
  EXPECT_EQ(FirstBad({kept[0].first, kept[1].first}), 0) << what_;
  struct stat info {};
  ASSERT_EQ(::stat(options_.checkpoint_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_P(UpkeepTest, AFileThatCannotBeWrittenIsOfferedAgain) {
  AppendCalls(1);
  options_.checkpoint_file = folder_ + "/later/checkpoints.jsonl";
  const auto upkeep = Make();
  EXPECT_FALSE(Run(upkeep->Checkpoint()).ok());
  std::filesystem::create_directory(folder_ + "/later");
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_THAT(Upkeep::ReadFileBlocking(options_.checkpoint_file), SizeIs(1));
}

TEST_P(UpkeepTest, AWebhookGetsThemWhereItMay) {
  RecordProperty("req", "M-FR-007.5");
  std::vector<std::string> got;
  int status = 500;
  http::TestServer server(
      [&](http::HttpRequest& request, http::HttpResponder& responder) -> Awaitable<void> {
        got.push_back(request.body);
        http::HttpResponse response(status);
        (void)co_await responder.Send(std::move(response));
      });
  options_.webhook = server.ListenTcp().ToString() + "/checkpoints";
  AppendCalls(1);
  // This machine is no public address.
  EXPECT_FALSE(Run(Make()->Checkpoint()).ok());
  EXPECT_THAT(got, SizeIs(0));
  options_.webhook_private = true;
  const auto upkeep = Make();
  EXPECT_FALSE(Run(upkeep->Checkpoint()).ok());
  EXPECT_EQ(Rows()[0].pushed, Upkeep::kFileSink);
  server.Run([&status] { status = 204; });
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_EQ(Rows()[0].pushed, Upkeep::kFileSink | Upkeep::kWebhookSink);
  ASSERT_THAT(got, SizeIs(2));
  EXPECT_THAT(got[1], HasSubstr("meta-mcp/audit/"));
  // Not once more.
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_THAT(got, SizeIs(2));
  server.Stop(std::chrono::milliseconds(0));
}

TEST_P(UpkeepTest, RetentionIsRecordedAndVerifies) {
  RecordProperty("req", "P3-SOC-4");
  options_.retention_days = 1;
  AppendCalls(4);
  const auto upkeep = Make();
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  EXPECT_TRUE(Run(upkeep->Retain(NowMicros())).ok());
  RecordFilter filter;
  EXPECT_THAT(*store_.Query(*db_, "t", filter), SizeIs(4));
  EXPECT_TRUE(Run(upkeep->Retain(NowMicros() + int64_t{2} * 24 * 3600 * 1'000'000)).ok());
  const auto rows = store_.Query(*db_, "t", filter);
  ASSERT_THAT(*rows, SizeIs(1));
  EXPECT_EQ((*rows)[0].action, "audit.retention");
  EXPECT_THAT((*rows)[0].record, HasSubstr("\"count\":4"));
  std::vector<std::string> kept;
  for (const auto& [note, path] : Upkeep::ReadFileBlocking(options_.checkpoint_file)) {
    kept.push_back(note);
  }
  EXPECT_EQ(FirstBad(kept), 0) << what_;
}

TEST_P(UpkeepTest, ADamagedCheckpointFileShows) {
  AppendCalls(1);
  const auto upkeep = Make();
  EXPECT_TRUE(Run(upkeep->Checkpoint()).ok());
  std::filesystem::resize_file(options_.checkpoint_file, 20);
  // Cut off in its only line, as after a kill: nothing is left to compare with.
  EXPECT_THAT(Upkeep::ReadFileBlocking(options_.checkpoint_file), SizeIs(0));
  std::string text = "{\"note\":\"nonsense\"}\n";
  std::ofstream(options_.checkpoint_file) << text;
  const auto kept = Upkeep::ReadFileBlocking(options_.checkpoint_file);
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_NE(FirstBad({kept[0].first}), 0);
}

}  // namespace
}  // namespace metamcp::audit
